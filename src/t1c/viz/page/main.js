// State, and what the hand does to it.

const $ = id => document.getElementById(id);
const THINGS = [...DATA.nodes, ...DATA.groups];
const PICTURE = {
  boxes: DATA.boxes,
  scopes: new Map(DATA.scopes.map(scope => [scope.id, scope])),
};
DATA.groups.forEach((group, i) => {
  group.parts = PICTURE.scopes.get(DATA.nodes.length + i).items.map(([item]) => item);
});

function leavesOf(id) {
  const parts = THINGS[id].parts;
  return parts ? parts.flatMap(leavesOf) : [id];
}

const canvas = new Canvas($("canvas"));
const view = { x: 0, y: 0, scale: 1 };
const open = new Set(DATA.open);
const dark = window.matchMedia("(prefers-color-scheme: dark)");
let scene, ink, picked = null, near = null, waiting = false, moved = false, step = 0, timer = null;

// What is seen ------------------------------------------------------------------------------

function refresh() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(paint);
}

function paint() {
  waiting = false;
  canvas.draw(scene, view, { ink, picked, near, level: ACTIVITY && (id => ACTIVITY.level(id, step)) });
  paintMap();
  if (DATA.live && ACTIVITY) ACTIVITY.draw();
}

function rebuild() {
  scene = placeAll(PICTURE, open);
  for (const line of scene.lines) {
    const kinds = new Set(line.link.edges.map(e => DATA.edges[e].status || ""));
    line.status = kinds.size === 1 ? [...kinds][0] : "";
  }
  scene.at = new Map(scene.boxes.map(box => [box.id, box]));
  scene.map = null;
  touch();
  refresh();
}

function touch() {
  near = null;
  if (picked === null) return;
  const inside = new Set(leavesOf(picked));
  near = new Set(scene.lines.filter(line => line.link.edges.some(e => {
    const from = inside.has(DATA.edges[e].source), to = inside.has(DATA.edges[e].target);
    return from !== to || (from && !THINGS[picked].parts);
  })));
}

function paintMap() {
  const map = $("map"), scale = Math.min(176 / scene.width, 126 / scene.height);
  const whole = scene.width * view.scale <= canvas.width && scene.height * view.scale <= canvas.height;
  map.hidden = whole || canvas.width < 500;
  if (map.hidden) return;
  const c = map.getContext("2d");
  if (!scene.map) {
    scene.map = document.createElement("canvas");
    scene.map.width = map.width; scene.map.height = map.height;
    const m = scene.map.getContext("2d");
    for (const box of scene.boxes) {
      const thing = THINGS[box.id];
      m.fillStyle = box.open ? ink.line : thing.status ? ink[thing.status]
        : thing.parts ? ink.families.graph : ink.families[thing.family];
      m.globalAlpha = box.open ? 0.35 : 1;
      m.fillRect(2 + box.x * scale, 2 + box.y * scale,
        Math.max(box.width * scale, 1), Math.max(box.height * scale, 0.8));
    }
  }
  c.clearRect(0, 0, map.width, map.height);
  c.drawImage(scene.map, 0, 0);
  c.strokeStyle = ink.pick;
  c.lineWidth = 1.5;
  c.strokeRect(2 - view.x / view.scale * scale, 2 - view.y / view.scale * scale,
    canvas.width / view.scale * scale, canvas.height / view.scale * scale);
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  ink = colours();
  if (scene) { scene.map = null; describe(); refresh(); }
}

// Where one looks ---------------------------------------------------------------------------

function zoom(factor, x = canvas.width / 2, y = canvas.height / 2) {
  const least = Math.min(0.02, canvas.width / (scene.width + 1) / 2);
  const scale = Math.max(least, Math.min(4, view.scale * factor));
  view.x = x - (x - view.x) * scale / view.scale;
  view.y = y - (y - view.y) * scale / view.scale;
  view.scale = scale;
  moved = true;
  refresh();
}

function pan(dx, dy) {
  view.x += dx; view.y += dy;
  moved = true;
  refresh();
}

function fit() {
  const margin = 36, foot = $("play").hidden ? 0 : 44;
  const scale = Math.min((canvas.width - 2 * margin) / Math.max(scene.width, 1),
    (canvas.height - foot - 2 * margin) / Math.max(scene.height, 1), 1.4);
  view.scale = Math.max(scale, 0.005);
  view.x = (canvas.width - scene.width * view.scale) / 2;
  view.y = (canvas.height - foot - scene.height * view.scale) / 2;
  moved = false;
  refresh();
}

function show(id) {
  const box = scene.at.get(id), x = view.x + (box.x + box.width / 2) * view.scale;
  const y = view.y + (box.y + box.height / 2) * view.scale, edge = 70;
  if (view.scale < 0.6) {
    view.scale = 1;
  } else if (x > edge && y > edge && x < canvas.width - edge && y < canvas.height - edge) {
    return;
  }
  view.x = canvas.width / 2 - (box.x + box.width / 2) * view.scale;
  view.y = canvas.height / 2 - (box.y + Math.min(box.height, 200) / 2) * view.scale;
  moved = true;
}

// What is selected --------------------------------------------------------------------------

function select(id) {
  picked = id;
  touch();
  describe();
  refresh();
}

// Selects, opens what is around it, and brings it into view.
function go(id) {
  let shut = false;
  for (let group = THINGS[id].group; group !== null; group = THINGS[group].group) {
    if (!open.has(group)) { open.add(group); shut = true; }
  }
  if (shut) rebuild();
  select(id);
  show(id);
}

function toggle(id) {
  const before = scene.at.get(id);
  if (!open.delete(id)) open.add(id);
  const all = !moved;
  rebuild();
  const after = scene.at.get(id);
  // What was clicked stays under the pointer.
  view.x += (before.x - after.x) * view.scale;
  view.y += (before.y - after.y) * view.scale;
  if (all) fit();
  select(id);
}

function setAll(opened) {
  open.clear();
  if (opened) DATA.groups.forEach((_, i) => open.add(DATA.nodes.length + i));
  if (picked !== null && !opened) {
    while (THINGS[picked].group !== null) picked = THINGS[picked].group;
  }
  rebuild();
  fit();
  describe();
}

function describe() {
  const isOpen = id => open.has(id);
  const content = picked === null ? overview(go, ink)
    : THINGS[picked].parts ? groupPanel(picked, go, toggle, isOpen, activityPanel)
      : nodePanel(picked, go, ink, activityPanel);
  $("panel").replaceChildren(...content.filter(part => part !== null));
}

// The next thing along the edges, or beside.
function walk(key) {
  const here = scene.at.get(picked);
  if (!here) return;
  const visible = id => {
    let seen = id;
    for (let at = id; at !== null; at = THINGS[at].group) if (scene.at.has(at) && !open.has(at)) seen = at;
    return seen;
  };
  const inside = new Set(leavesOf(picked));
  const ends = key === "ArrowDown" ? ["source", "target"] : ["target", "source"];
  let next;
  if (key === "ArrowDown" || key === "ArrowUp") {
    const edges = DATA.edges.filter(e => inside.has(e[ends[0]]) && !inside.has(e[ends[1]]));
    const edge = edges.find(e => !e.feedback) || edges[0];
    next = edge && visible(edge[ends[1]]);
  } else {
    const side = key === "ArrowRight" ? 1 : -1;
    const row = scene.boxes.filter(b => b.scope === here.scope && b.id !== here.id &&
      Math.abs(b.y + b.height / 2 - here.y - here.height / 2) < 3 && (b.x - here.x) * side > 0);
    row.sort((a, b) => (a.x - b.x) * side);
    next = row.length ? row[0].id : undefined;
  }
  if (next !== undefined) { select(next); show(next); refresh(); }
}

function hit(x, y) {
  const px = (x - view.x) / view.scale, py = (y - view.y) / view.scale;
  const over = box => px >= box.x && px <= box.x + box.width && py >= box.y && py <= box.y + box.height;
  for (let i = scene.boxes.length - 1; i >= 0; i--) {
    const box = scene.boxes[i];
    if (!box.open && over(box)) return box;
  }
  const frames = scene.boxes.filter(box => box.open && over(box));
  return frames.length ? frames.reduce((a, b) => b.width * b.height < a.width * a.height ? b : a) : null;
}

// Finding -----------------------------------------------------------------------------------

let results = [], chosen = 0;

function find(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean), list = $("found");
  const match = thing => words.every(word =>
    `${thing.id} ${thing.name} ${thing.label || thing.kind}`.toLowerCase().includes(word));
  results = words.length ? THINGS.map((_, id) => id).filter(id => match(THINGS[id])) : [];
  results.sort((a, b) => Boolean(THINGS[a].parts) - Boolean(THINGS[b].parts));
  chosen = 0;
  list.hidden = !words.length;
  list.replaceChildren(...results.slice(0, 60).map((id, i) => element(
    "li", { role: "option", "aria-selected": i === 0, click: () => choose(i) },
    THINGS[id].parts ? THINGS[id].name : THINGS[id].id,
    element("small", {}, `  ${THINGS[id].label || THINGS[id].kind}`))),
  ...(results.length > 60 ? [element("small", {}, `${results.length - 60} more`)] : []),
  ...(words.length && !results.length ? [element("small", {}, "nothing found")] : []));
}

function choose(i) {
  if (results[i] === undefined) return;
  go(results[i]);
  $("found").hidden = true;
  $("canvas").focus();
}

$("find").addEventListener("input", event => find(event.target.value));
$("find").addEventListener("keydown", event => {
  const shown = [...$("found").querySelectorAll("li")];
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    chosen = Math.max(0, Math.min(shown.length - 1, chosen + (event.key === "ArrowDown" ? 1 : -1)));
    shown.forEach((li, i) => li.setAttribute("aria-selected", i === chosen));
    if (shown[chosen]) shown[chosen].scrollIntoView({ block: "nearest" });
    event.preventDefault();
  } else if (event.key === "Enter") {
    choose(chosen);
    event.preventDefault();
  } else if (event.key === "Escape") {
    $("found").hidden = true;
    $("canvas").focus();
  }
  event.stopPropagation();
});
document.addEventListener("pointerdown", event => {
  if (!event.target.closest(".find")) $("found").hidden = true;
});

// Hand and keys -----------------------------------------------------------------------------

const fingers = new Map();
let pressed = null;

function place(event) {
  const box = $("canvas").getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

$("canvas").addEventListener("pointerdown", event => {
  $("canvas").setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, place(event));
  pressed = fingers.size === 1 ? place(event) : null;
});
$("canvas").addEventListener("pointermove", event => {
  const before = fingers.get(event.pointerId), now = place(event);
  if (!before) {
    $("canvas").style.cursor = hit(...now) ? "pointer" : "grab";
    return;
  }
  if (fingers.size === 1) {
    if (pressed && Math.hypot(now[0] - pressed[0], now[1] - pressed[1]) < 4) return;
    pan(now[0] - before[0], now[1] - before[1]);
    pressed = null;
  } else {
    const [, other] = [...fingers].find(([id]) => id !== event.pointerId);
    const far = p => Math.hypot(p[0] - other[0], p[1] - other[1]) || 1;
    zoom(far(now) / far(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  }
  fingers.set(event.pointerId, now);
});
$("canvas").addEventListener("pointerup", event => {
  fingers.delete(event.pointerId);
  if (!pressed) return;
  const box = hit(...pressed), [x, y] = pressed;
  pressed = null;
  const near = box && THINGS[box.id].parts && (y - view.y) / view.scale < box.y + HEAD &&
    (box.open ? (x - view.x) / view.scale < box.x + 22
      : (x - view.x) / view.scale > box.x + box.width - 24);
  if (near) toggle(box.id);
  else select(box ? box.id : null);
});
$("canvas").addEventListener("pointercancel", event => fingers.delete(event.pointerId));
$("canvas").addEventListener("dblclick", event => {
  const box = hit(...place(event));
  if (box && THINGS[box.id].parts) toggle(box.id);
});
$("canvas").addEventListener("wheel", event => {
  const lines = event.deltaMode === 1 ? 18 : 1;
  if (event.shiftKey && !event.ctrlKey) pan(-(event.deltaX || event.deltaY) * lines, 0);
  else zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0018)), ...place(event));
  event.preventDefault();
}, { passive: false });
$("map").addEventListener("pointerdown", event => {
  const box = $("map").getBoundingClientRect();
  const scale = Math.min(176 / scene.width, 126 / scene.height);
  view.x = canvas.width / 2 - (event.clientX - box.left - 2) / scale * view.scale;
  view.y = canvas.height / 2 - (event.clientY - box.top - 2) / scale * view.scale;
  moved = true;
  refresh();
});

function togglePanel(show = $("panel").hidden) {
  $("panel").hidden = !show;
  $("side").setAttribute("aria-pressed", show);
  resized();
}

function save() {
  const url = URL.createObjectURL(new Blob([asSvg(scene, ink)], { type: "image/svg+xml" }));
  element("a", { href: url, download: `${DATA.title.replace(/[^\w.-]+/g, "_")}.svg` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

const switchTheme = () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
const ACTIONS = {
  "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), f: fit, "/": () => $("find").focus(),
  e: () => setAll(true), c: () => setAll(false), d: switchTheme, p: () => togglePanel(), s: save,
  Escape: () => select(null), " ": () => play(), ",": () => setStep(step - 1), ".": () => setStep(step + 1),
  "?": () => { togglePanel(true); select(null); $("keys").scrollIntoView(); },
  Enter: () => { if (picked !== null && THINGS[picked].parts) toggle(picked); },
};
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, button, a")) {
    if (event.key === "Enter" && event.target.matches("a")) event.target.click();
    if (event.target.matches("input") || event.key === "Enter" || event.key === " ") return;
  }
  if (event.key.startsWith("Arrow")) {
    if (picked !== null) walk(event.key);
    else {
      const [dx, dy] = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
      pan(dx, dy);
    }
  } else if (ACTIONS[event.key]) {
    ACTIONS[event.key]();
  } else {
    return;
  }
  event.preventDefault();
});
for (const [id, action] of Object.entries({
  "zoom-in": () => zoom(1.25), "zoom-out": () => zoom(0.8), fit, unfold: () => setAll(true),
  fold: () => setAll(false), theme: switchTheme, save, side: () => togglePanel(), run: () => play(),
})) $(id).addEventListener("click", action);

// A run, step by step -----------------------------------------------------------------------

// seek: the step that is shown where another one is asked for; course: what a node sent in which
// steps; level: its colour. A live page sets its own once its module is ready.
let ACTIVITY = DATA.activity && (() => {
  const { steps } = DATA.activity;
  const levels = new Map(Object.entries(DATA.activity.nodes).map(([id, part]) => [
    Number(id), { bytes: Uint8Array.from(atob(part.levels), c => c.charCodeAt(0)), peak: part.peak },
  ]));
  return {
    pause: 150,
    seek: to => (to + steps) % steps,
    words: () => `step ${step + 1} of ${steps}`,
    level: overParts((id, step) => levels.has(id) ? levels.get(id).bytes[step] / 255 : null),
    course(id) {
      const known = levels.get(id);
      if (!known) return null;
      const values = [...known.bytes].map(byte => byte / 255 * known.peak);
      return { values, now: values[step], most: known.peak, first: 1 };
    },
  };
})();

// A folded group is as hot as its nodes on average.
function overParts(level) {
  return (id, step) => {
    if (!THINGS[id].parts) return level(id, step);
    const known = leavesOf(id).map(n => level(n, step)).filter(heat => heat !== null);
    return known.length ? known.reduce((a, b) => a + b) / known.length : null;
  };
}

function activityPanel(id) {
  const known = ACTIVITY && ACTIVITY.course(id);
  if (!known || !known.values.length) return [];
  const { values, now, most, first } = known;
  const stride = Math.ceil(values.length / 160);
  return section("Activity", facts([["now", number(now)], ["most", number(most)],
    ["mean", number(values.reduce((a, b) => a + b, 0) / values.length)]]),
  element("div", { class: "array" },
    bars(values.filter((_, i) => i % stride === 0), ink.hot, "Mean output at each step"),
    element("div", { class: "ends" }, element("span", {}, `step ${first}`),
      element("span", {}, `step ${first + values.length - 1}`))));
}

function setStep(to) {
  if (!ACTIVITY) return;
  step = ACTIVITY.seek(to);
  $("step").value = step;
  $("when").textContent = ACTIVITY.words();
  if (picked !== null) describe();
  refresh();
}

function play() {
  if (!ACTIVITY) return;
  if (timer) clearInterval(timer);
  timer = timer ? null : setInterval(() => setStep(step + 1), ACTIVITY.pause);
  $("run").textContent = timer ? "❚❚" : "▶";
  $("run").setAttribute("aria-label", timer ? "Stop" : "Play");
}

if (ACTIVITY) {
  $("play").hidden = false;
  $("step").max = DATA.activity.steps - 1;
  $("step").addEventListener("input", event => setStep(Number(event.target.value)));
}

// Paper, and the beginning ------------------------------------------------------------------

function forPaper() {
  const theme = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
  const markup = new DOMParser().parseFromString(asSvg(scene, colours()), "image/svg+xml");
  document.documentElement.dataset.theme = theme;
  $("print").replaceChildren(document.importNode(markup.documentElement, true));
}
window.addEventListener("beforeprint", forPaper);
window.addEventListener("afterprint", () => $("print").replaceChildren());

function resized() {
  canvas.resize();
  if (!moved) fit();
  refresh();
}

setTheme(dark.matches ? "dark" : "light");
dark.addEventListener("change", event => setTheme(event.matches ? "dark" : "light"));
canvas.resize();
rebuild();
describe();
fit();
setStep(0);
window.addEventListener("resize", resized);
document.fonts.ready.then(refresh);
// For scripts and tests: what is shown, where, and what is selected, by name.
window.t1c = {
  boxes: () => scene.boxes.map(({ id, ...box }) => ({ ...box, id: THINGS[id].id })),
  lines: () => scene.lines.map(line => line.path),
  view: () => ({ ...view }),
  selected: () => picked === null ? null : THINGS[picked].id,
  select: name => go(THINGS.findIndex(thing => thing.id === name)),
};
requestAnimationFrame(() => requestAnimationFrame(() => performance.mark("t1c-shown")));
