// The zoo's table and chart: filters, sorting, and what is drawn. The data stand in the page (zoo_table.py).
"use strict";

(() => {
  const data = JSON.parse(document.getElementById("zoo-data").textContent);
  const metrics = Object.entries(data.metrics);
  const number = (digits) => (value) => (value === null ? "-" : value.toFixed(digits));
  const text = (value) => value || "-";
  const head = [
    ["name", "Row", text],
    ["system", "System", text],
    ["backbone", "Backbone", text],
    ["data", "Data", text],
    ["schedule", "Schedule", text],
    ...metrics.map(([key, title]) => [key, title, number(3)]),
    ["mem_gb", "Mem (GB)", number(2)],
    ["train_s_per_iter", "Train (s/it)", number(3)],
  ];
  const TABLES = {
    ours: [
      ...head,
      ["train_batch", "Images/it", number(0)],
      ["inf_s_per_im", "Inf (s/im)", number(3)],
      ["throughput", "Im/s", number(2)],
      ["params_m", "Params (M)", number(1)],
      ["gflops", "GFLOPs", number(0)],
      ["machine", "Machine", text],
    ],
    published: [["name", "Row", text], ["who", "By", text], ["note", "How", text], ...head.slice(1), ["inf_s_per_im", "Inf (s/im)", number(3)]],
  };
  const TEXTS = new Set(["name", "system", "backbone", "data", "schedule", "who", "note", "machine"]);
  const TIMES = { inf_s_per_im: "inference, seconds an image", train_s_per_iter: "training, seconds an iteration" };
  const sorting = { ours: null, published: null };

  function make(tag, properties, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  // -- what is chosen

  const form = document.getElementById("zoo-choice");
  const fields = {};
  for (const [name, title, options, start] of [
    ["task", "Task", ["", ...new Set(data.ours.map((line) => line.task))], ""],
    ["data", "Data", ["", ...new Set(data.ours.map((line) => line.data))], "COCO"],
    ["system", "System", ["", ...new Set(data.ours.map((line) => line.system))], ""],
    ["metric", "Chart: figure", [], ""],
    ["time", "Chart: time", [], ""],
  ]) {
    fields[name] = make("select", { name }, ...options.map((value) => make("option", { value }, value || "all")));
    fields[name].value = start;
    form.append(make("label", {}, title, fields[name]));
  }
  fields.time.append(...Object.entries(TIMES).map(([value, title]) => make("option", { value }, title.split(",")[0])));
  fields.words = make("input", { type: "search", name: "words", placeholder: "r50 fpn" });
  fields.measured = make("input", { type: "checkbox", name: "measured" });
  form.append(make("label", {}, "Words", fields.words));
  form.append(make("label", { className: "zoo-tick" }, fields.measured, "only with a figure"));

  function chosen(line) {
    const words = fields.words.value.toLowerCase().split(/\s+/);
    const all = `${line.name} ${line.system} ${line.backbone} ${line.who || ""} ${line.machine || ""}`.toLowerCase();
    return (
      ["task", "data", "system"].every((name) => !fields[name].value || line[name] === fields[name].value) &&
      words.every((word) => all.includes(word)) &&
      (!fields.measured.checked || metrics.some(([key]) => line[key] !== null) || line.inf_s_per_im !== null)
    );
  }

  // -- tables

  function sorted(lines, table) {
    const by = sorting[table];
    if (!by) return lines;
    const rank = (a, b) => (TEXTS.has(by.key) ? a.localeCompare(b) : a - b);
    const known = lines.filter((line) => line[by.key] !== null && line[by.key] !== "-" && line[by.key] !== "");
    known.sort((a, b) => (by.down ? -1 : 1) * rank(a[by.key], b[by.key]));
    return [...known, ...lines.filter((line) => !known.includes(line))]; // what nobody has measured comes last
  }

  function heading(table, key, title) {
    const by = sorting[table];
    const down = by && by.key === key ? !by.down : !TEXTS.has(key) && !/_s_per_|mem|params|gflops/.test(key);
    const mark = by && by.key === key ? (by.down ? " ▼" : " ▲") : "";
    const button = make("button", { type: "button", title: `sort by ${title}` }, title + mark);
    button.addEventListener("click", () => {
      sorting[table] = { key, down };
      show();
      document.querySelector(`#zoo-${table} th[data-key="${key}"] button`).focus();
    });
    const cell = make("th", { scope: "col" }, button);
    cell.dataset.key = key;
    if (mark) cell.ariaSort = by.down ? "descending" : "ascending";
    return cell;
  }

  const anchor = (table, line) => `${table}-${data[table].indexOf(line)}`;

  function cell(line, key, format) {
    if (key === "name") return make("th", { scope: "row" }, make("a", { href: line.page }, make("code", {}, line.name)));
    const content = format(line[key]);
    if (key !== "who") return make("td", { className: TEXTS.has(key) ? "" : "zoo-number" }, content);
    const who = line.source ? make("a", { href: line.source }, content) : content;
    return make("td", {}, who, line.weights ? make("span", { className: "zoo-weights" }, "weights") : "");
  }

  function fill(table, lines) {
    const filled = ([key]) => TEXTS.has(key) || lines.some((line) => line[key] !== null);
    const columns = TABLES[table].filter(filled);
    const head = make("tr", {}, ...columns.map(([key, title]) => heading(table, key, title)));
    const body = sorted(lines, table).map((line) =>
      make("tr", { id: anchor(table, line), tabIndex: -1 }, ...columns.map(([key, , format]) => cell(line, key, format))),
    );
    const made = make("table", { className: "zoo-lines" }, make("thead", {}, head), make("tbody", {}, ...body));
    document.getElementById(`zoo-${table}`).replaceChildren(made);
  }

  // -- charts

  function point(table, line, y, x, kind, from) {
    const [figure, time] = [data.metrics[fields.metric.value], fields.time.selectedOptions[0].text];
    const words = `${line.name}: ${figure} ${y.toFixed(3)}${from}, ${time} ${x.toPrecision(3)} s`;
    const label = line.row.replace(/_(1x|2x)\b/g, "").replaceAll("_", " ");
    return { x, y, label, kind, text: words, target: anchor(table, line) };
  }

  // Of a row that has not been trained here: what its published weights reach for their authors, at our time.
  function borrowed(line, metric, time) {
    if (line[metric] !== null || line[time] === null) return [];
    const stated = data.published.filter((entry) => entry.row === line.row && entry.weights && entry[metric] !== null);
    const found = stated.find((entry) => !entry.note) || stated[0];
    return found ? [point("ours", line, found[metric], line[time], "zoo-borrowed", ` published by ${found.who}`)] : [];
  }

  function charts(ours, published) {
    const [metric, time] = [fields.metric.value, fields.time.value];
    const both = (line) => line[metric] !== null && line[time] !== null;
    const own = ours.filter(both).map((line) => point("ours", line, line[metric], line[time], "zoo-own", ""));
    const mixed = ours.flatMap((line) => borrowed(line, metric, time));
    const others = published.filter(both);
    const places = [...new Set(ours.map((line) => line.hardware).filter(Boolean))].join("; ");
    const legend = `Filled: figure and time measured here. Ring: time measured here, figure of its authors, whose weights this code loads. ${places}`;
    const title = data.metrics[metric];
    scatter(document.getElementById("zoo-chart-ours"), [...own, ...mixed], TIMES[time], title, legend);
    const theirs = others.map((line) => point("published", line, line[metric], line[time], "zoo-other", ` by ${line.who}`));
    const note = "Figure and time as their authors state them, each on its own hardware.";
    scatter(document.getElementById("zoo-chart-published"), theirs, TIMES[time], title, note);
  }

  function offerMetrics(lines) {
    const known = metrics.filter(([key]) => lines.some((line) => line[key] !== null));
    const kept = fields.metric.value;
    fields.metric.replaceChildren(...known.map(([value, title]) => make("option", { value }, title)));
    if (known.some(([key]) => key === kept)) fields.metric.value = kept;
  }

  function show() {
    const [ours, published] = [data.ours.filter(chosen), data.published.filter(chosen)];
    const measured = ours.filter((line) => line.machine !== "-").length;
    document.getElementById("zoo-count").textContent =
      `${ours.length} lines of rows, ${measured} measured here; ${published.length} published figures`;
    fill("ours", ours);
    fill("published", published);
    offerMetrics([...ours, ...published]);
    if (fields.data.value && fields.metric.value) return charts(ours, published);
    for (const table of ["ours", "published"])
      document.getElementById(`zoo-chart-${table}`).textContent =
        "A chart needs one data set, chosen above, with figures: those of different data do not compare.";
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", show);
  window.addEventListener("hashchange", () => document.getElementById(location.hash.slice(1))?.focus());
  new ResizeObserver(show).observe(form);
})();
