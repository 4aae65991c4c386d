// The network itself: a module of WebAssembly, inputs to set, and what comes out.

const WINDOW = 100;  // steps that are remembered
const SLIDERS = 32;  // more numbers than these are painted
const PAPER = 252;  // pixels across

WebAssembly.instantiate(Uint8Array.from(atob(DATA.live.module), c => c.charCodeAt(0))).then(
  ({ instance }) => start(instance.exports),
  error => { $("live").hidden = false; $("live").append(`It cannot run here: ${error.message}`); });

function start({ memory, reset, step: work, address }) {
  const product = shape => shape.reduce((a, b) => a * b, 1);
  const numbers = (port, size) => new Float32Array(memory.buffer, address(port), size);
  const inputs = DATA.live.inputs.map(({ name, port, shape }) => {
    const size = product(shape);
    return { name, shape, size, into: numbers(port, size), values: new Float32Array(size), noise: 0 };
  });
  const outputs = DATA.live.outputs.map(({ name, port, shape }) => {
    const size = product(shape);
    return { name, shape, size, from: numbers(port, size), past: [] };
  });
  const nodes = new Map(DATA.live.nodes.map(({ node, port, size }) => [
    node, { from: numbers(port, size), past: [], most: 0 }]));
  let done = 0, random;

  function keep(past, value) {
    past.push(value);
    if (past.length > WINDOW) past.shift();
  }

  function once() {
    for (const { into, values, noise } of inputs) {
      into.set(values);
      if (noise) for (let i = 0; i < into.length; i++) if (random() < noise) into[i] = 1;
    }
    work();
    done++;
    for (const output of outputs) keep(output.past, output.from.slice());
    for (const node of nodes.values()) {
      let mean = 0;
      for (const value of node.from) mean += Math.abs(value) / node.from.length;
      if (!Number.isFinite(mean)) mean = 0;
      keep(node.past, mean);
      node.most = Math.max(node.most, mean);
    }
  }

  // At rest, as before the first step; what the inputs are set to stays.
  function rest() {
    reset();
    done = 0;
    random = seeded(1);
    for (const part of [...outputs, ...nodes.values()]) part.past = [];
    for (const node of nodes.values()) node.most = 0;
    setStep(0);
  }

  ACTIVITY = {
    pause: 100,
    seek(to) {
      while (done < to) once();
      return done;
    },
    words: () => `step ${counted(done)}`,
    level: overParts(id => {
      const node = nodes.get(id);
      return node ? (node.past.at(-1) || 0) / (node.most || 1) : null;
    }),
    course(id) {
      const node = nodes.get(id);
      return node && { values: node.past, now: node.past.at(-1), most: node.most,
        first: done - node.past.length + 1 };
    },
    draw: () => [...inputs, ...outputs].forEach(part => part.draw && part.draw()),
  };

  $("live").append(
    ...inputs.flatMap(input => inputPanel(input)), ...outputs.flatMap(output => outputPanel(output)));
  $("live").hidden = false;
  const pace = slider("Steps in a second", 0, 3, 0.05, 1, value => {
    ACTIVITY.pause = 1000 / Math.round(10 ** value);
    if (timer) { play(); play(); }
    return `${Math.round(10 ** value)}/s`;
  });
  $("pace").append(
    element("button", { type: "button", title: "One step ( . )", click: () => setStep(done + 1) }, "Step"),
    element("button", { type: "button", title: "Back to rest", click: rest }, "Reset"), pace);
  $("pace").hidden = $("play").hidden = false;
  $("step").hidden = true;
  rest();
  resized();
  fit();
  window.t1c.live = {
    step: count => setStep(done + count),
    reset: rest,
    steps: () => done,
    inputs: () => Object.fromEntries(inputs.map(({ name, values }) => [name, [...values]])),
    given: () => Object.fromEntries(inputs.map(({ name, into }) => [name, [...into]])),
    outputs: () => Object.fromEntries(outputs.map(({ name, from }) => [name, [...from]])),
    nodes: () => Object.fromEntries([...nodes].map(([id, { from }]) => [THINGS[id].id, [...from]])),
  };
}

// Numbers in [0, 1), the same ones again for the same seed (mulberry32).
function seeded(seed) {
  return () => {
    seed = seed + 0x6d2b79f5 | 0;
    let t = Math.imul(seed ^ seed >>> 15, 1 | seed);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return ((t ^ t >>> 14) >>> 0) / 4294967296;
  };
}

// A slider and what it says; `set` takes the value and gives the words.
function slider(label, min, max, step, value, set) {
  const bar = element("input", { type: "range", min, max, step, value, "aria-label": label, title: label });
  const said = element("output", {}, set(value));
  bar.addEventListener("input", () => { said.textContent = set(Number(bar.value)); });
  return element("label", { class: "slider" }, bar, said);
}

// Inputs ------------------------------------------------------------------------------------

function inputPanel(input) {
  const painted = input.shape.length > 1 || input.size > SLIDERS;
  const noise = slider(`Noise in ${input.name}`, 0, 1, 1 / 64, 0, value => {
    input.noise = value;
    return value.toFixed(2);
  });
  return [
    ...section(`in: ${input.name}  ${shown(input.shape)}`, painted ? picture(input) : sliders(input)),
    element("div", { class: "row", title: "Each number is 1 instead, in a step, with this probability" },
      element("span", { class: "quiet" }, "noise"), noise),
  ];
}

function sliders(input) {
  return element("div", {}, ...[...input.values].map((_, i) => element("div", { class: "row" },
    element("span", { class: "quiet" }, String(i)),
    slider(`${input.name} ${i}`, -2, 2, 1 / 64, 0, value => {
      input.values[i] = value;
      return value.toFixed(2);
    }))));
}

// Where the numbers of a picture stand: channels below each other, a long row in several lines.
function grid({ shape, size }) {
  const columns = shape.length > 1 ? shape.at(-1) : Math.ceil(Math.sqrt(size));
  const high = shape.length > 1 ? shape.at(-2) : Math.ceil(size / columns);
  const cell = Math.min(PAPER / columns, 24), gap = 6;
  const place = i => {
    const row = Math.floor(i / columns);
    return [i % columns * cell, row * cell + Math.floor(row / high) * gap];
  };
  return { columns, cell, place, width: columns * cell, height: place(size - 1)[1] + cell };
}

function picture(input) {
  const { cell, place, width, height } = grid(input);
  const paper = sheet(width, height, `Paint ${input.name}`);
  paper.element.classList.add("painted");
  input.draw = () => paper.draw(c => input.values.forEach((value, i) => {
    const [x, y] = place(i), rim = cell > 4 ? 1 : 0;
    c.fillStyle = mixed(ink.shade, ink.pick, Math.min(Math.abs(value), 1));
    c.fillRect(x, y, cell - rim, cell - rim);
  }));
  let strength = 1, brush = null;
  const under = event => {
    const box = paper.element.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    return input.values.findIndex((_, i) => {
      const [left, top] = place(i);
      return x >= left && x < left + cell && y >= top && y < top + cell;
    });
  };
  const paint = event => {
    const i = under(event);
    if (brush === null || i < 0) return;
    input.values[i] = brush;
    refresh();
  };
  paper.element.addEventListener("pointerdown", event => {
    paper.element.setPointerCapture(event.pointerId);
    const i = under(event);
    // Who begins on what is painted rubs out.
    brush = i >= 0 && input.values[i] === strength ? 0 : strength;
    paint(event);
  });
  paper.element.addEventListener("pointermove", paint);
  for (const end of ["pointerup", "pointercancel"]) {
    paper.element.addEventListener(end, () => { brush = null; });
  }
  return element("div", {}, paper.element, element("div", { class: "row" },
    element("span", { class: "quiet" }, "brush"),
    slider(`Brush for ${input.name}`, 1 / 64, 2, 1 / 64, 1, value => {
      strength = value;
      return value.toFixed(2);
    }),
    element("button", { type: "button", click: () => { input.values.fill(0); refresh(); } }, "Clear")));
}

// Outputs -----------------------------------------------------------------------------------

// Bars: the mean of the steps that are remembered. Below them those steps, a column for each.
function outputPanel(output) {
  const tall = 72, line = Math.max(1, Math.min(8, 160 / output.size)), wide = PAPER / output.size;
  const bars = sheet(PAPER, tall + (wide >= 12 ? 14 : 0), `Means of ${output.name}`);
  const raster = sheet(PAPER, line * output.size, `The last ${WINDOW} steps of ${output.name}`);
  const words = element("div", { class: "ends" });
  output.draw = () => {
    const { past, size } = output;
    const means = Array.from({ length: size }, (_, i) => past.reduce((sum, v) => sum + v[i], 0) / (past.length || 1));
    const top = Math.max(0, ...means), foot = Math.min(0, ...means), span = top - foot || 1;
    const zero = tall * top / span || (foot ? 0 : tall);
    bars.draw(c => {
      c.textAlign = "center";
      c.font = SMALL_FONT;
      means.forEach((mean, i) => {
        const gap = Math.min(2, wide / 4), height = tall * Math.abs(mean) / span;
        c.fillStyle = past.length && past.at(-1)[i] ? ink.hot : ink.pick;
        c.fillRect(i * wide + gap / 2, mean < 0 ? zero : zero - height, wide - gap, height);
        c.fillStyle = ink.quiet;
        if (wide >= 12) c.fillText(String(i), (i + 0.5) * wide, tall + 11);
      });
      c.fillStyle = ink.line;
      c.fillRect(0, Math.min(zero, tall - 1), PAPER, 1);
    });
    const most = past.reduce((most, v) => v.reduce((m, x) => Math.max(m, Math.abs(x)), most), 0) || 1;
    raster.draw(c => {
      c.fillStyle = ink.shade;
      c.fillRect(0, 0, PAPER, line * size);
      past.forEach((v, t) => v.forEach((value, i) => {
        if (!value) return;
        c.fillStyle = mixed(ink.shade, value < 0 ? ink.pick : ink.hot, Math.min(Math.abs(value) / most, 1));
        c.fillRect(t * PAPER / WINDOW, i * line, PAPER / WINDOW - 0.5, Math.max(line - 1, 0.8));
      }));
    });
    const spikes = past.reduce((sum, v) => sum + v.reduce((n, x) => n + (x !== 0), 0), 0);
    words.replaceChildren(element("span", {}, `mean: ${number(foot)} … ${number(top)}`),
      element("span", {}, `${counted(spikes)} not zero in ${past.length} steps`));
  };
  return section(`out: ${output.name}  ${shown(output.shape)}`, bars.element, raster.element, words);
}

// A canvas of this many pixels on any screen.
function sheet(width, height, label) {
  const made = element("canvas", { role: "img", "aria-label": label });
  const c = made.getContext("2d"), ratio = window.devicePixelRatio || 1;
  made.width = Math.round(width * ratio);
  made.height = Math.round(height * ratio);
  made.style.width = `${width}px`;
  made.style.height = `${height}px`;
  return {
    element: made,
    draw(how) {
      c.setTransform(ratio, 0, 0, ratio, 0, 0);
      c.clearRect(0, 0, width, height);
      how(c);
    },
  };
}
