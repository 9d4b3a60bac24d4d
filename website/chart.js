// A scatter as SVG: x logarithmic, y linear. Points are links, which Tab reaches and Enter follows to their line.
"use strict";

const scatter = (() => {
  const SPACE = { top: 14, right: 14, bottom: 42, left: 52 };

  function node(name, attributes, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  // 1, 2 and 5 times powers of ten, as far as they lie in the range; in a narrow one all digits
  function logTicks(low, high) {
    const ticks = [];
    const digits = high / low > 8 ? [1, 2, 5] : [1, 2, 3, 4, 5, 6, 7, 8, 9];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
      for (const digit of digits) ticks.push(digit * 10 ** power);
    return ticks.filter((tick) => tick >= low && tick <= high);
  }

  function linearTicks(low, high) {
    const rough = (high - low) / 5;
    const size = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((digit) => digit * size).find((candidate) => candidate >= rough);
    const ticks = [];
    for (let i = Math.ceil(low / step); i * step <= high; i++) ticks.push(Number((i * step).toPrecision(6)));
    return ticks;
  }

  // What is near a label that has been written is left to the line under the chart
  function labelled(points, width) {
    const taken = points.map(({ px, py }) => [px - 6, py - 6, px + 6, py + 6]);
    const free = ([x0, y0, x1, y1]) =>
      x0 > SPACE.left && x1 < width - 2 && taken.every(([a0, b0, a1, b1]) => x1 < a0 || x0 > a1 || y1 < b0 || y0 > b1);
    const labels = [];
    for (const { px, py, label } of points) {
      const long = label.length * 6.1;
      for (const x0 of [px + 8, px - 8 - long]) {
        const box = [x0, py - 6, x0 + long, py + 6];
        if (!free(box)) continue;
        taken.push(box);
        labels.push(node("text", { x: x0, y: py + 4, class: "zoo-label" }, label));
        break;
      }
    }
    return labels;
  }

  // points: {x, y, label, text, kind, target}; kind is a class of zoo.css, text what the line under the chart says
  return function draw(place, points, xTitle, yTitle, legend) {
    place.replaceChildren();
    if (!points.length) {
      place.append("No row shown here has both figures of this chart.");
      return;
    }
    const width = Math.max(place.clientWidth, 300), height = 300;
    const inner = [width - SPACE.left - SPACE.right, height - SPACE.top - SPACE.bottom];
    const xs = points.map((point) => point.x), ys = points.map((point) => point.y);
    const [x0, x1] = [Math.min(...xs) / 1.15, Math.max(...xs) * 1.15];
    const pad = Math.max(0.01, 0.1 * (Math.max(...ys) - Math.min(...ys)));
    const [y0, y1] = [Math.max(0, Math.min(...ys) - pad), Math.min(1, Math.max(...ys) + pad)];
    const toX = (x) => SPACE.left + (inner[0] * Math.log(x / x0)) / Math.log(x1 / x0);
    const toY = (y) => SPACE.top + inner[1] * (1 - (y - y0) / (y1 - y0));

    const name = `${yTitle} against ${xTitle}, ${points.length} points`;
    const svg = node("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": name });
    const [bottom, right] = [SPACE.top + inner[1], SPACE.left + inner[0]];
    for (const tick of logTicks(x0, x1)) {
      svg.append(node("line", { x1: toX(tick), x2: toX(tick), y1: SPACE.top, y2: bottom, class: "zoo-grid" }));
      svg.append(node("text", { x: toX(tick), y: bottom + 16, "text-anchor": "middle" }, String(Number(tick.toPrecision(2)))));
    }
    for (const tick of linearTicks(y0, y1)) {
      svg.append(node("line", { x1: SPACE.left, x2: right, y1: toY(tick), y2: toY(tick), class: "zoo-grid" }));
      svg.append(node("text", { x: SPACE.left - 6, y: toY(tick) + 4, "text-anchor": "end" }, String(tick)));
    }
    svg.append(node("text", { x: SPACE.left + inner[0] / 2, y: height - 6, "text-anchor": "middle" }, xTitle));
    const turned = `translate(12 ${SPACE.top + inner[1] / 2}) rotate(-90)`;
    svg.append(node("text", { transform: turned, "text-anchor": "middle" }, yTitle));

    const said = Object.assign(document.createElement("p"), { className: "zoo-said", ariaLive: "polite" });
    said.textContent = legend;
    const placed = points.map((point) => ({ ...point, px: toX(point.x), py: toY(point.y) }));
    svg.append(...labelled(placed, width));
    for (const point of placed) {
      const shape = node("circle", { cx: point.px, cy: point.py, r: 5.5 });
      const link = node("a", { href: `#${point.target}`, class: point.kind, "aria-label": point.text }, shape);
      for (const event of ["pointerenter", "focus"]) link.addEventListener(event, () => (said.textContent = point.text));
      for (const event of ["pointerleave", "blur"]) link.addEventListener(event, () => (said.textContent = legend));
      svg.append(link);
    }
    place.append(svg, said);
  };
})();
