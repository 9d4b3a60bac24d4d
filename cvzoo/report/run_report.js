// Curves: the class that is chosen in a table comes to the fore in the charts.
for (const button of all("[data-curve]")) {
  button.addEventListener("click", () => {
    const chosen = button.getAttribute("aria-pressed") !== "true";
    all(".chart .on").forEach(curve => curve.classList.remove("on"));
    all("[data-curve]").forEach(other => other.setAttribute("aria-pressed", "false"));
    button.setAttribute("aria-pressed", String(chosen));
    for (const chart of all(".chart")) {
      const curve = one(`[id$="-curve-${button.dataset.curve}"]`, chart);
      if (chosen && curve) {
        curve.classList.add("on");
        curve.parentNode.append(curve);
      }
      one(".chosen", chart).textContent = chosen && curve ? ` · ${button.textContent}` : "";
    }
  });
}

// Images: marks above the score, of the chosen kinds and class.
const shots = all(".shots > .shot");
const marks = JSON.parse(one("#marks").textContent);
const slider = one("#score"), chosenClass = one("#class"), kinds = all("[name=kind]");
const CROWD = 8;  // among more marks than these, only the wrong ones say what they are
const SVG = "http://www.w3.org/2000/svg";

function element(tag, attributes) {
  const made = tag === "path" || tag === "svg" ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function put(panel, mark, detection) {
  const [left, top, width, height] = mark.box.map(value => `${100 * value}%`);
  mark.shown = [element("span", {class: "mark", style: `left:${left};top:${top};width:${width};height:${height}`})];
  mark.text = mark.shown[0].appendChild(element("b", {}));
  mark.shown[0].classList.toggle("end", mark.box[0] > 0.6);
  mark.detection = detection;
  if (mark.outline) {
    const svg = one("svg", panel) ?? panel.insertBefore(element("svg", {viewBox: "0 0 1000 1000", preserveAspectRatio: "none"}), one(".mark", panel));
    mark.shown.push(svg.appendChild(element("path", {d: mark.outline, "fill-rule": "evenodd"})));
  }
  panel.append(mark.shown[0]);
}

function update(mark, score, kindsOn, name) {
  const missed = mark.kind === "found" && mark.score < score;
  const kind = missed ? "missed" : mark.kind;
  const passes = !mark.detection || mark.score >= score;
  const visible = passes && kindsOn.has(kind) && (!name || mark.name === name);
  for (const shown of mark.shown) {
    shown.dataset.kind = kind;
    shown.classList.toggle("missed", missed);
    shown.classList.toggle("ignored", kind === "ignored");
    shown.toggleAttribute("hidden", !visible);
  }
  const what = ["right", "found"].includes(kind) ? "" : kind;
  mark.text.textContent = mark.detection ? `${mark.name} ${mark.score.toFixed(2)}` : mark.name;
  mark.shown[0].title = `${mark.text.textContent}${what && `: ${what}`}`;
  return {visible, kind: passes ? kind : ""};
}

function filter() {
  const score = Number(slider.value), name = chosenClass.value;
  const kindsOn = new Set(kinds.filter(kind => kind.checked).map(kind => kind.value));
  const narrowed = Boolean(name) || kindsOn.size < kinds.length;
  one("#score-shown").textContent = score.toFixed(2);
  let images = 0;
  shots.forEach((shot, number) => {
    const states = [...marks[number].truth, ...marks[number].found].map(mark => update(mark, score, kindsOn, name));
    const count = (...wanted) => states.filter(state => wanted.includes(state.kind)).length;
    const wrong = count("classification", "localisation", "both", "duplicate", "background");
    one(".count", shot).textContent = `${count("right")} right · ${wrong} wrong · ${count("missed")} missed`;
    for (const panel of all(".panel", shot)) panel.classList.toggle("crowded", all(".mark:not([hidden])", panel).length > CROWD);
    shot.hidden = narrowed && !states.some(state => state.visible);
    images += !shot.hidden;
  });
  one("#images-shown").textContent = `${images} image${images === 1 ? "" : "s"}`;
}

for (const shot of shots) {
  const [truth, found] = all("img", shot);
  if (!found.hasAttribute("src")) found.src = truth.src;
}
if (slider) {
  shots.forEach((shot, number) => {
    const [truth, found] = all(".panel", shot);
    marks[number].truth.forEach(mark => put(truth, mark, false));
    marks[number].found.forEach(mark => put(found, mark, true));
  });
  slider.addEventListener("input", filter);
  one("#best").addEventListener("click", () => { slider.value = slider.getAttribute("value"); filter(); });
  [chosenClass, ...kinds].forEach(control => control.addEventListener("change", filter));
  filter();
}

// Zoom: an image fills the window; arrows turn to the next, Escape closes.
const zoom = one("#zoom");
let place = 0;

function turn(step) {
  const open = shots.filter(shot => !shot.hidden);
  place = (open.indexOf(shots[place]) + step + open.length) % open.length;
  place = shots.indexOf(open[place]);
  one(".view", zoom).replaceChildren(shots[place].cloneNode(true));
  all(".view .panel", zoom).forEach(panel => { panel.tabIndex = -1; });
}

shots.forEach((shot, number) => all(".panel", shot).forEach(panel => panel.addEventListener("click", () => {
  place = number;
  turn(0);
  zoom.showModal();
})));
if (zoom) {
  one(".before", zoom).addEventListener("click", () => turn(-1));
  one(".after", zoom).addEventListener("click", () => turn(1));
  one(".close", zoom).addEventListener("click", () => zoom.close());
  zoom.addEventListener("click", event => { if (event.target === zoom) zoom.close(); });
  zoom.addEventListener("keydown", event => {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (step) turn(step);
  });
}
