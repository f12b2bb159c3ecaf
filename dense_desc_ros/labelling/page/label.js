// Clicks become labels, and these are saved at once: {name: {register: frame or null, points:
// {frame: [u, v], or null where hidden}}}. What is undone is a whole older state of them.

import { View, colorOf, drawTicks } from "./drawing.js";
import { Pictures } from "./pictures.js";
import { Saver } from "./saving.js";

const NEAR = 10, MOVED = 4; // screen px: to grab a point, and to tell a drag from a click
const $ = (id) => document.getElementById(id);
const view = new View($("view"));
const saver = new Saver($("saved"), $("problem"), load);
const pictures = new Pictures();
let session, labels, names, chosen, index = 0, shown = null, gesture = null, isFitted = false;
let undone = [];

const number = () => session.frames[index].number;
const pointOf = (name) => labels[name]?.points[number()];
const colorOfName = (name) => colorOf(names.indexOf(name));
/** Whether the picture is there that belongs to the frame; else the one before is still shown. */
const isReady = () => Boolean(shown?.picture) && shown.number === number();
const rounded = (pixel) => pixel.map((x) => Math.round(x * 10) / 10);
const text = (pixel) => pixel.map((x) => x.toFixed(1)).join(", ");

async function load() {
  const response = await fetch("session");
  const answer = await response.json();
  if (!response.ok) return saver.fail(answer.error);
  session = answer;
  labels = session.labels;
  undone = [];
  names = [...new Set([...(names ?? []), ...Object.keys(labels)])];
  chosen = names.includes(chosen) ? chosen : names[0];
  saver.start(session.revision);
  document.title = `${session.recording} – dense-desc label`;
  $("recording").textContent = session.recording;
  $("file").textContent = `saved to ${session.file}`;
  $("slider").max = session.frames.length - 1;
  await go(index);
}

/** Change the labels by a function of them, and save. */
function change(edit) {
  undone.push(structuredClone(labels));
  edit(labels);
  tidy();
}

function tidy() {
  for (const [name, label] of Object.entries(labels)) {
    const visible = Object.keys(label.points).map(Number).filter((n) => label.points[n]);
    if (!Object.keys(label.points).length) delete labels[name];
    else if (!visible.includes(label.register)) {
      label.register = visible.length ? Math.min(...visible) : null;
    }
  }
  saver.save(labels);
  render();
}

function undo() {
  if (!undone.length) return;
  labels = undone.pop();
  names = [...new Set([...names, ...Object.keys(labels)])];
  tidy();
}

function setPoint(pixel) {
  if (!chosen) return ask();
  if (!isReady()) return;
  const { width, height } = shown.picture;
  const [u, v] = rounded(pixel);
  if (u < -0.5 || v < -0.5 || u > width - 0.5 || v > height - 0.5) return;
  change((all) => { (all[chosen] ??= { register: null, points: {} }).points[number()] = [u, v]; });
}

function ask() {
  $("name").focus();
  $("name").placeholder = "first name the point";
}

function toggleHidden() {
  if (!chosen) return ask();
  if (pointOf(chosen) === null) return remove();
  change((all) => { (all[chosen] ??= { register: null, points: {} }).points[number()] = null; });
}

function remove() {
  if (pointOf(chosen) !== undefined) change((all) => { delete all[chosen].points[number()]; });
}

function register() {
  if (pointOf(chosen)) change((all) => { all[chosen].register = number(); });
}

function move(du, dv) {
  const at = pointOf(chosen);
  if (at) setPoint([at[0] + du, at[1] + dv]);
}

async function go(to) {
  index = Math.min(Math.max(to, 0), session.frames.length - 1);
  const wanted = number();
  $("mouse").textContent = "";
  render();
  const found = await pictures.get(wanted);
  if (wanted !== number()) return;
  shown = found;
  if (shown.picture && !isFitted) {
    view.fit(shown.picture);
    isFitted = true;
  }
  $("mouse").classList.toggle("bad", Boolean(shown.problem));
  render();
  if (index + 1 < session.frames.length) pictures.get(session.frames[index + 1].number);
}

function depthAt([u, v]) {
  const { width, height } = shown.picture, x = Math.round(u), y = Math.round(v);
  return x < 0 || y < 0 || x >= width || y >= height ? undefined : shown.depth[y * width + x];
}

function depthText(pixel) {
  const depth = depthAt(pixel);
  return depth === undefined ? "" : depth ? `${(depth / 1000).toFixed(3)} m` : "no depth";
}

function render() {
  const frame = session.frames[index];
  const marks = names.filter(pointOf).sort((a, b) => (a === chosen) - (b === chosen))
    .map((name) => ({ name, color: colorOfName(name), pixel: pointOf(name), isChosen: name === chosen }));
  view.draw(shown?.picture, isReady() ? marks : []);
  $("view").ariaBusy = shown?.number !== number();
  $("slider").value = index;
  $("frame").textContent =
    `frame ${frame.number} (${index + 1} of ${session.frames.length}), ${frame.seconds.toFixed(2)} s`;
  $("points").replaceChildren(...names.map(item));
  const at = pointOf(chosen);
  $("hide").disabled = !chosen;
  $("register").disabled = !at || labels[chosen].register === number();
  $("remove").disabled = at === undefined;
  $("undo").disabled = !undone.length;
  if (shown?.problem) $("mouse").textContent = shown.problem;
  const points = Object.entries(labels[chosen]?.points ?? {});
  const place = new Map(session.frames.map((each, n) => [each.number, n]));
  drawTicks($("ticks"), points.map(([n, pixel]) => ({
    share: place.get(Number(n)) / Math.max(session.frames.length - 1, 1), isHidden: !pixel,
  })), colorOfName(chosen));
}

/** A point in the list. */
function item(name, n) {
  const row = document.createElement("li"), at = pointOf(name), label = labels[name];
  row.innerHTML = `<svg viewBox="0 0 16 16"><circle cx="8" cy="8" r="6"/></svg>
    <span class="name"></span><span class="count"></span><span class="where"></span>`;
  row.querySelector("circle").setAttribute("fill", colorOf(n));
  row.querySelector(".name").textContent = n < 9 ? `${n + 1} ${name}` : name;
  const count = Object.keys(label?.points ?? {}).length;
  row.querySelector(".count").textContent = count ? `${count} frame${count > 1 ? "s" : ""}` : "";
  const depth = at && isReady() ? depthText(at) : "";
  const registered = at && label.register === number() ? ", registered here" : "";
  const where = row.querySelector(".where");
  where.textContent = at ? `${text(at)}  ${depth}${registered}`
    : at === null ? "hidden" : "no label here";
  where.classList.toggle("bad", depth === "no depth");
  row.classList.toggle("chosen", name === chosen);
  row.onclick = () => choose(name);
  return row;
}

function choose(name) {
  if (!name) return;
  chosen = name;
  $("view").focus();
  render();
}

function place(event) {
  const box = $("view").getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

$("view").onpointerdown = (event) => {
  if (!isReady()) return;
  const at = pointOf(chosen), [x, y] = place(event);
  const [px, py] = at ? view.toScreen(at) : [Infinity, Infinity];
  const isGrabbed = event.button === 0 && Math.hypot(px - x, py - y) <= NEAR;
  gesture = { from: [x, y], last: [x, y], isGrabbed, isDrag: event.button !== 0,
    offset: [px - x, py - y], before: structuredClone(labels) };
  $("view").setPointerCapture(event.pointerId);
  $("view").focus();
};

$("view").onpointermove = (event) => {
  const [x, y] = place(event);
  if (isReady()) {
    const pixel = view.toPixel([x, y]), depth = depthText(pixel);
    $("mouse").textContent = depth && `${text(pixel)}  ${depth}`;
    $("mouse").classList.toggle("bad", depth === "no depth");
  }
  if (!gesture) return;
  gesture.isDrag ||= Math.hypot(x - gesture.from[0], y - gesture.from[1]) > MOVED;
  if (!gesture.isDrag) return;
  if (gesture.isGrabbed) {
    const [dx, dy] = gesture.offset;
    labels[chosen].points[number()] = rounded(view.toPixel([x + dx, y + dy]));
  } else {
    view.x += x - gesture.last[0];
    view.y += y - gesture.last[1];
  }
  gesture.last = [x, y];
  render();
};

$("view").onpointerup = (event) => {
  const done = gesture;
  gesture = null;
  if (!done) return;
  if (!done.isDrag) return setPoint(view.toPixel(place(event)));
  if (done.isGrabbed) {
    const pixel = pointOf(chosen);
    labels = done.before;
    setPoint(pixel);
    render();
  }
};

$("view").oncontextmenu = (event) => event.preventDefault();

$("view").addEventListener("wheel", (event) => {
  event.preventDefault();
  view.zoom(Math.exp(-event.deltaY / 400), place(event));
  render();
}, { passive: false });

function zoom(factor) {
  view.zoom(factor, [$("view").clientWidth / 2, $("view").clientHeight / 2]);
  render();
}

const KEYS = {
  n: () => go(index + 1), p: () => go(index - 1), h: toggleHidden, r: register, u: undo,
  Delete: remove, Backspace: remove, "+": () => zoom(1.25), "=": () => zoom(1.25),
  "-": () => zoom(0.8), 0: () => { if (shown?.picture) view.fit(shown.picture); render(); },
  ArrowLeft: (step) => move(-step, 0), ArrowRight: (step) => move(step, 0),
  ArrowUp: (step) => move(0, -step), ArrowDown: (step) => move(0, step),
};

document.onkeydown = (event) => {
  if (!session || event.target === $("name") || event.altKey || gesture) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const isUndo = (event.ctrlKey || event.metaKey) && key === "z";
  if ((event.ctrlKey || event.metaKey) && !isUndo) return;
  const action = isUndo ? undo : /^[1-9]$/.test(key) ? () => choose(names[key - 1]) : KEYS[key];
  if (!action) return;
  event.preventDefault();
  action(event.shiftKey ? 1 : 0.1);
};

$("add").onsubmit = (event) => {
  event.preventDefault();
  const name = $("name").value;
  if (!name) return;
  names = [...new Set([...names, name])];
  $("name").value = "";
  choose(name);
};
$("name").oninput = () => {
  const isName = new RegExp(`^${session.names}$`).test($("name").value);
  $("name").setCustomValidity(isName || !$("name").value ? "" : "1 to 64 letters, digits, _ or -");
};
for (const [id, action] of Object.entries({
  hide: toggleHidden, register, remove, undo, previous: KEYS.p, next: KEYS.n,
})) {
  $(id).onclick = () => { action(); $("view").focus(); };
}
$("slider").oninput = () => go(Number($("slider").value));
$("slider").onchange = () => $("view").focus();
new ResizeObserver(() => { if (session) render(); }).observe($("view"));
load();
