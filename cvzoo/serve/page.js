// One image, one model, its answer. The answer is asked for once, with all that scores at least FLOOR; the least score,
// the classes and the colours that are shown are chosen here.
"use strict";

const FLOOR = 0.05, MOST = 300;
const el = id => document.getElementById(id);
const canvas = el("canvas"), brush = canvas.getContext("2d");
let server = null;      // what /models says
let file = null;        // what was chosen
let image = null;       // the same, decoded
let answer = null;      // what the server says of it, and `about` its model
let layers = [];        // what is drawn of each detection, or of the label map: a canvas, or paths
let hidden = new Set(); // classes that are not to be seen
let chosen = null;      // the detection that stands out
let asking = null;      // the request under way

class Refusal extends Error {}

// ---- the server

async function ask(path, options = {}) {
  const token = sessionStorage.getItem("token");
  let reply;
  try {
    reply = await fetch(path, {...options, headers: token ? {Authorization: `Bearer ${token}`} : {}});
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The server cannot be reached. Is it still running?");
  }
  if (reply.ok) return reply.json();
  el("access").hidden = reply.status !== 401;
  if (reply.status === 401) {
    el("token").focus();
    throw new Refusal(token ? "That token is wrong." : "This server asks for a token.");
  }
  const {detail} = await reply.json().catch(() => ({}));
  throw new Refusal(detail ? `${detail[0].toUpperCase()}${detail.slice(1)}.` : `The server has failed (${reply.status}).`);
}

async function meet() {
  server = await ask("models");
  el("model").replaceChildren(...server.models.map(model => new Option(model.name, model.name)));
  el("score").min = Math.min(FLOOR, server.min_score);
  el("score").value = server.min_score;
  el("access").hidden = true;
  suit();
  if (file) await look();
}

const model = () => server.models.find(one => one.name === el("model").value);

async function look() {
  asking?.abort();
  asking = new AbortController();
  const {signal} = asking, asked = model();
  for (const [has, most, what] of [
    [file.size, server.max_bytes, "bytes"],
    [image.naturalWidth * image.naturalHeight, asked.max_pixels, "pixels"],
  ]) {
    if (has > most) throw new Refusal(`The image has ${count(has)} ${what}, more than ${count(most)}: scale it down.`);
  }
  const form = new FormData();
  form.append("image", file, file.name || "image");
  form.append("model", asked.name);
  if (asked.task !== "label_maps") {
    form.append("min_score", el("score").min);
    form.append("max_detections", MOST);
    form.append("masks", "polygons");
  }
  say(`Asking ${asked.name} ...`);
  el("result").classList.add("busy");
  const found = await ask("predict", {method: "POST", body: form, signal});
  const drawn = found.task === "label_maps" ? [await labelled(found, asked)]
    : await Promise.all(found.detections.map(one => one.surface ? surface(one.surface, asked) : outlined(one.polygons)));
  signal.throwIfAborted();
  [answer, layers, hidden, chosen] = [{...found, about: asked}, drawn, new Set(), null];
  list();
  show();
}

// ---- an image

async function take(one) {
  if (!one) return;
  asking?.abort();
  [file, answer, layers, chosen] = [one, null, [], null];
  el("name").textContent = one.name || "pasted image";
  if (image) URL.revokeObjectURL(image.src);
  image = new Image();
  image.src = URL.createObjectURL(one);
  el("result").hidden = true;
  try {
    await image.decode();
  } catch {
    file = null;
    const name = one.name || "What was pasted";
    throw new Refusal(`${name} is no image that this browser can show: take a JPEG, PNG, WebP or BMP.`);
  }
  if (file !== one) return;
  el("result").hidden = false;
  list();
  draw();
  if (server) await look();
}

// ---- from the answer to layers of colour, in the image's pixels

function outlined(polygons) {
  if (!polygons) return null;
  const path = new Path2D();
  for (const [x, ...rest] of polygons.flat()) {
    path.moveTo(...x);
    for (const point of rest) path.lineTo(...point);
    path.closePath();
  }
  return path;
}

async function decoded(base64) {
  const png = new Image();
  png.src = `data:image/png;base64,${base64}`;
  await png.decode();
  const layer = document.createElement("canvas");
  [layer.width, layer.height] = [png.naturalWidth, png.naturalHeight];
  const on = layer.getContext("2d", {willReadFrequently: true});
  on.drawImage(png, 0, 0);
  return [layer, on, on.getImageData(0, 0, layer.width, layer.height)];
}

async function surface(found, {part_colours}) {
  const [layer, on, pixels] = await decoded(found.uv_data), {data} = pixels;
  for (let i = 0; i < data.length; i += 4) {
    const part = data[i];
    const [red, green, blue] = part ? rgb(part_colours[part - 1]) : [0, 0, 0];
    data.set([red, green, blue, part ? 255 : 0], i);
  }
  on.putImageData(pixels, 0, 0);
  return layer;
}

async function labelled(found, {colours}) {
  const [layer, on, pixels] = await decoded(found.label_map), {data} = pixels;
  const labels = new Map(colours.map((colour, label) => [Number.parseInt(colour.slice(1), 16), label]));
  const classes = new Int16Array(data.length / 4);
  for (let i = 0; i < classes.length; i++) {
    classes[i] = labels.get((data[4 * i] << 16) + (data[4 * i + 1] << 8) + data[4 * i + 2]) ?? -1;
  }
  layer.choose = () => {
    for (let i = 0; i < classes.length; i++) data[4 * i + 3] = classes[i] < 0 || hidden.has(classes[i]) ? 0 : 255;
    on.putImageData(pixels, 0, 0);
  };
  return layer;
}

const rgb = colour => [1, 3, 5].map(i => Number.parseInt(colour.slice(i, i + 2), 16));
const count = number => number.toLocaleString("en");

// ---- what is seen

const least = () => Number(el("score").value);
const above = () => (answer?.detections ?? []).map((one, i) => ({...one, i})).filter(one => one.score >= least());

function show() {
  const found = above(), label_map = answer?.classes;
  el("least").textContent = least().toFixed(2);
  for (const row of label_map ? [] : el("classes").querySelectorAll("label")) {
    row.querySelector("output").textContent = found.filter(one => one.label === Number(row.dataset.label)).length;
  }
  for (const row of el("objects").querySelectorAll("li")) {
    const one = answer.detections[row.dataset.i];
    row.hidden = one.score < least() || hidden.has(one.label);
    row.firstChild.setAttribute("aria-pressed", String(chosen === Number(row.dataset.i)));
  }
  if (answer) say(words(found, label_map));
  draw();
}

function words(found, label_map) {
  const took = `in ${Object.values(answer.seconds).reduce((sum, one) => sum + one, 0).toFixed(2)} s.`;
  const classes = label_map?.length ?? new Set(found.map(one => one.label)).size;
  const of = `${classes} ${classes === 1 ? "class" : "classes"}, ${took}`;
  if (label_map) return of;
  if (found.length) return `${found.length} ${found.length === 1 ? "object" : "objects"} of ${of}`;
  return `Nothing scores ${least().toFixed(2)} or more${answer.detections.length ? ": lower the least score" : ""}; found ${took}`;
}

function list() {
  const about = answer?.about, found = answer?.detections ?? [];
  const kinds = [...new Map(found.map(one => [one.label, one])).values()];
  const classes = answer?.classes ?? kinds.sort((one, other) => one.label - other.label);
  el("classes").replaceChildren(el("classes").firstElementChild, ...classes.map(one => {
    const label = make("label", make("input"), make("i"), one.class, make("output"));
    const [box, colour, , number] = label.childNodes;
    label.dataset.label = one.label;
    Object.assign(box, {type: "checkbox", checked: true});
    box.addEventListener("change", () => { hidden[box.checked ? "delete" : "add"](one.label); show(); });
    colour.style.background = about.colours[one.label];
    if ("share" in one) number.textContent = `${(100 * one.share).toFixed(1)} %`;
    return label;
  }));
  el("objects").hidden = !found.length;
  el("objects").querySelector("ol").replaceChildren(...found.map((one, i) => {
    const button = make("button", make("span", one.class), make("span", one.score.toFixed(2)));
    button.type = "button";
    button.addEventListener("click", () => { chosen = chosen === i ? null : i; show(); });
    const row = make("li", button);
    row.dataset.i = i;
    return row;
  }));
  const seen = new Map(found.flatMap(one => one.surface?.parts ?? []).map(one => [one.part, one.name]));
  el("parts").hidden = !seen.size;
  el("parts").querySelector("ul").replaceChildren(...[...seen].sort(([one], [other]) => one - other).map(([part, name]) => {
    const colour = make("i");
    colour.style.background = about.part_colours[part - 1];
    return make("li", colour, name);
  }));
  el("classes").hidden = !classes.length;
}

function make(name, ...inside) {
  const made = document.createElement(name);
  made.append(...inside);
  return made;
}

function draw() {
  if (!image?.naturalWidth || el("result").hidden) return;
  const {naturalWidth: width, naturalHeight: height} = image;
  const wide = Math.min(canvas.parentElement.clientWidth, 2 * width, 0.85 * innerHeight * width / height);
  const dense = devicePixelRatio || 1;
  canvas.style.width = `${wide}px`;
  [canvas.width, canvas.height] = [wide, wide * height / width].map(side => Math.max(1, Math.round(side * dense)));
  brush.drawImage(image, 0, 0, canvas.width, canvas.height);
  const opacity = Number(el("opacity").value), fit = canvas.width / width;
  brush.save();
  brush.scale(fit, fit);
  brush.imageSmoothingEnabled = false;
  if (answer?.label_map) {
    layers[0].choose();
    brush.globalAlpha = opacity;
    brush.drawImage(layers[0], 0, 0);
  }
  const visible = above().filter(one => !hidden.has(one.label)).reverse(); // the best on top, but below what was chosen
  visible.sort((one, other) => (one.i === chosen) - (other.i === chosen));
  for (const one of visible) cover(one, opacity);
  brush.restore();
  for (const one of visible) frame(one, fit, dense);
  brush.globalAlpha = 1;
  describe(visible);
}

const colour = one => answer.about.colours[one.label];
const faded = one => chosen !== null && chosen !== one.i;

function cover(one, opacity) {
  const layer = layers[one.i];
  if (!layer) return;
  brush.globalAlpha = opacity * (faded(one) ? 0.25 : 1);
  brush.fillStyle = colour(one);
  if (layer instanceof Path2D) brush.fill(layer, "evenodd");
  else brush.drawImage(layer, one.surface.left, one.surface.top);
}

function frame(one, fit, dense) {
  const [x0, y0, x1, y1] = one.box.map(value => value * fit);
  const name = `${one.class} ${one.score.toFixed(2)}`, high = 18 * dense;
  brush.globalAlpha = faded(one) ? 0.3 : 1;
  brush.strokeStyle = brush.fillStyle = colour(one);
  brush.lineWidth = (chosen === one.i ? 4 : 2) * dense;
  brush.strokeRect(x0, y0, x1 - x0, y1 - y0);
  if (faded(one)) return;
  brush.font = `600 ${13 * dense}px system-ui, "DejaVu Sans", sans-serif`;
  const wide = brush.measureText(name).width + 8 * dense;
  const left = Math.max(0, Math.min(x0, canvas.width - wide)), top = y0 >= high ? y0 - high : y0;
  brush.fillRect(left, top, wide, high);
  const [red, green, blue] = rgb(colour(one));
  brush.fillStyle = 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "#000" : "#fff";
  brush.fillText(name, left + 4 * dense, top + 13.5 * dense);
}

function describe(visible) {
  const names = answer?.classes?.map(one => one.class) ?? [...visible].reverse().map(one => one.class);
  canvas.setAttribute("aria-label", `${file?.name || "The image"}${names.length ? `, with ${names.slice(0, 20).join(", ")}` : ""}`);
}

function suit() {
  const {task, masks} = model();
  el("scores").hidden = task === "label_maps";
  el("covering").hidden = task === "boxes" && !masks;
  el("least").textContent = least().toFixed(2);
}

function say(text) {
  if (el("status").textContent !== text) el("status").textContent = text;
}

// ---- what the user does

async function trying(step) {
  el("alert").hidden = true;
  try {
    await step();
    el("result").classList.remove("busy");
  } catch (error) {
    if (error.name === "AbortError") return;
    el("result").classList.remove("busy");
    el("alert").hidden = false;
    el("alert").firstElementChild.textContent = error instanceof Refusal ? error.message : `This page has failed: ${error.message}`;
    el("again").hidden = server !== null && !file;
    say("");
    if (!(error instanceof Refusal)) throw error;
  }
}

el("file").addEventListener("change", event => trying(() => take(event.target.files[0])));
el("again").addEventListener("click", () => trying(server ? look : meet));
el("model").addEventListener("change", () => {
  suit();
  if (file) trying(look);
});
el("score").addEventListener("input", show);
el("opacity").addEventListener("input", draw);
el("access").addEventListener("submit", event => {
  event.preventDefault();
  sessionStorage.setItem("token", el("token").value);
  trying(meet);
});
el("controls").addEventListener("submit", event => event.preventDefault());
addEventListener("paste", event => {
  const pasted = [...(event.clipboardData?.files ?? [])];
  if (pasted.length) trying(() => take(pasted[0]));
});
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  addEventListener(kind, event => {
    event.preventDefault();
    document.body.classList.toggle("dragged", kind === "dragenter" || kind === "dragover");
    if (kind === "drop") trying(() => take(event.dataTransfer.files[0]));
  });
}
addEventListener("resize", draw);
trying(meet);
