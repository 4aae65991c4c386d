// The panel: what is selected, in words and numbers. Text is set as text, never as markup.

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "click") made.addEventListener("click", value);
    else if (key === "colour") made.style.background = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter(child => child !== null));
  return made;
}

const counted = n => n.toLocaleString("en-US");

function sized(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let level = 0;
  while (bytes >= 1024 && level < units.length - 1) { bytes /= 1024; level++; }
  return `${level ? bytes.toPrecision(3) : bytes} ${units[level]}`;
}

const number = x => typeof x !== "number" ? String(x)
  : x && Math.abs(x) < 1e-4 ? x.toExponential(3) : String(+x.toPrecision(5));
const shown = shape => shape.length ? `(${shape.join(", ")})` : "scalar";

function inWords(value) {
  if (Array.isArray(value)) return `[${value.map(inWords).join(", ")}]`;
  if (value && typeof value === "object") {
    return Object.entries(value).map(([key, entry]) => `${key}: ${inWords(entry)}`).join(", ");
  }
  return typeof value === "number" && !Number.isInteger(value) ? number(value) : String(value);
}

function facts(pairs) {
  return element("table", {}, ...pairs.map(([key, value]) => element(
    "tr", {}, element("th", { scope: "row" }, key),
    element("td", {}, value instanceof Node ? value : String(value)))));
}

function section(title, ...content) {
  return [element("h3", {}, title), ...content];
}

function notes(metadata, path = "") {
  return Object.entries(metadata).flatMap(([key, value]) =>
    value && typeof value === "object" && !Array.isArray(value)
      ? notes(value, `${path}${key}.`) : [[path + key, inWords(value)]]);
}

const SVG = "http://www.w3.org/2000/svg";

function bars(counts, colour, label) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${counts.length} 1`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  const most = Math.max(...counts, 1e-12);
  counts.forEach((count, i) => {
    const bar = document.createElementNS(SVG, "rect");
    const height = count ? Math.max(count / most, 0.02) : 0;
    for (const [key, value] of Object.entries({
      x: i + 0.06, y: 1 - height, width: 0.88, height, fill: colour,
    })) bar.setAttribute(key, value);
    svg.append(bar);
  });
  return svg;
}

function arrayPart(name, array, colour) {
  const words = [["shape", `${shown(array.shape)} ${array.dtype}`]];
  if (array.values) words.push(["values", inWords(array.values)]);
  if ("min" in array && !(array.values && array.count === 1)) {
    words.push(["min … max", `${number(array.min)} … ${number(array.max)}`]);
    words.push(["mean ± std", `${number(array.mean)} ± ${number(array.std)}`]);
    if (array.zeros) words.push(["zeros", `${counted(array.zeros)} of ${counted(array.count)}`]);
  }
  if (array.nonfinite) words.push(["NaN or infinite", counted(array.nonfinite)]);
  const part = element("div", { class: "array" }, element("b", {}, name), facts(words));
  const histogram = array.histogram;
  if (histogram) {
    part.append(
      bars(histogram.counts, colour, `Histogram of ${name}`),
      element("div", { class: "ends" }, element("span", {}, number(histogram.low)),
        element("span", {}, histogram.of < array.count
          ? `${counted(histogram.of)} of ${counted(array.count)} values` : ""),
        element("span", {}, number(histogram.high))));
  }
  return part;
}

function link(id, label, go) {
  return element("a", { click: () => go(id), role: "link", tabindex: "0" }, label);
}

function changes(thing) {
  if (!thing.status) return [];
  const words = { added: "only in the second", removed: "only in the first", changed: "changed" };
  return section("Difference", element("b", { class: thing.status }, words[thing.status]),
    element("ul", {}, ...(thing.changes || []).map(line => element("li", {}, line))));
}

function nodePanel(id, go, ink, heat) {
  const node = THINGS[id], colour = ink.families[node.family];
  const ports = types => Object.entries(types).map(([port, shape]) => [port, shown(shape)]);
  const ends = (key, other) => DATA.edges.filter(edge => edge[key] === id).map(edge => element(
    "li", {}, link(edge[other], THINGS[edge[other]].id, go),
    edge.feedback ? element("span", { class: "quiet" }, "  t-1") : null));
  const before = ends("target", "source"), after = ends("source", "target");
  const numbers = [];
  if (node.parameter_count) {
    numbers.push(["parameters", counted(node.parameter_count)], ["bytes", sized(node.bytes)]);
  }
  if (node.state) numbers.push(["state per sample", counted(node.state)]);
  const fields = Object.entries(node.fields).map(([key, value]) => [key, inWords(value)]);
  const metadata = notes(node.metadata);
  return [
    element("h2", {}, node.name),
    element("div", { class: "quiet" }, element("span", { class: "chip", colour }), node.label),
    node.id === node.name ? null : element("div", { class: "quiet" }, node.id),
    ...changes(node),
    ...heat(id),
    ...section("Shapes", facts([...ports(node.input_type).map(([k, v]) => [`in: ${k}`, v]),
      ...ports(node.output_type).map(([k, v]) => [`out: ${k}`, v])])),
    ...(numbers.length ? section("Size", facts(numbers)) : []),
    ...(fields.length ? section("Fields", facts(fields)) : []),
    ...(Object.keys(node.parameters).length ? section("Parameters",
      ...Object.entries(node.parameters).map(([name, a]) => arrayPart(name, a, colour))) : []),
    ...(metadata.length ? section("Metadata", facts(metadata)) : []),
    ...(before.length ? section("From", element("ul", {}, ...before)) : []),
    ...(after.length ? section("To", element("ul", {}, ...after)) : []),
  ];
}

function groupPanel(id, go, toggle, isOpen, heat) {
  const group = THINGS[id], members = leavesOf(id);
  const sum = key => members.reduce((total, n) => total + THINGS[n][key], 0);
  const kinds = {
    graph: "nested graph", repeat: `${group.times} equal parts`, part: "one of equal parts",
    residual: "residual: what goes in also passes by", branches: "branches", loop: "loop",
  };
  const metadata = notes(group.metadata || {});
  return [
    element("h2", {}, group.name),
    element("div", { class: "quiet" }, kinds[group.kind] || group.kind),
    group.types ? element("div", { class: "quiet" }, group.types) : null,
    element("p", {}, element("button", { click: () => toggle(id) }, isOpen(id) ? "Fold" : "Unfold")),
    ...changes(group),
    ...heat(id),
    ...section("Size", facts([["nodes", counted(members.length)],
      ["parameters", counted(sum("parameter_count"))], ["bytes", sized(sum("bytes"))],
      ["state per sample", counted(sum("state"))]])),
    ...(metadata.length ? section("Metadata", facts(metadata)) : []),
    ...section("Holds", element("ul", {}, ...group.parts.slice(0, 200).map(part => element(
      "li", {}, link(part, THINGS[part].name, go),
      element("span", { class: "quiet" }, `  ${THINGS[part].parts ? "" : THINGS[part].type}`))))),
  ];
}

const KEYS = [
  ["drag, arrows", "move the picture (nothing selected)"], ["wheel, pinch, + -", "zoom"],
  ["f", "show all"], ["/", "find; arrows and enter choose"], ["arrows", "go along the edges (a node selected)"],
  ["enter, double click", "fold or unfold a group"], ["e  c", "open, close all groups"],
  ["escape", "select nothing"], ["p  d", "panel; light or dark"], ["s", "save as SVG"],
  ["space  ,  .", "play; a step back, a step on"], ["?", "these keys"],
];

function overview(go, ink) {
  const nodes = THINGS.filter(thing => !thing.parts && thing.status !== "removed");
  const sum = key => nodes.reduce((total, node) => total + node[key], 0);
  const edges = DATA.edges.filter(edge => edge.status !== "removed");
  const back = edges.filter(edge => edge.feedback).length;
  const families = Object.entries(DATA.families)
    .map(([key, family]) => [key, family.title, nodes.filter(n => n.family === key).length])
    .filter(([, , count]) => count);
  const numbers = [["nodes", counted(nodes.length)], ["edges", counted(edges.length)]];
  if (back) numbers.push(["one step late", counted(back)]);
  numbers.push(["parameters", counted(sum("parameter_count"))], ["bytes", sized(sum("bytes"))],
    ["state per sample", counted(sum("state"))]);
  const metadata = notes(DATA.metadata);
  const differing = THINGS.map((thing, id) => [thing, id]).filter(([t]) => t.status && !t.parts);
  return [
    element("h2", {}, DATA.title),
    ...section("Size", facts(numbers)),
    ...(DATA.differs ? section("Differences", DATA.differs.length || differing.length ? null :
      element("div", {}, "none"), element("ul", {}, ...DATA.differs.map(l => element("li", {}, l)),
      ...differing.slice(0, 500).map(([thing, id]) => element("li", {},
        element("span", { class: thing.status }, `${thing.status}  `), link(id, thing.id, go))))) : []),
    ...section("Colours", ...families.map(([key, title, count]) => element("div", {},
      element("span", { class: "chip", colour: ink.families[key] }), `${title}  `,
      element("span", { class: "quiet" }, counted(count)))),
    ...(back ? [element("div", {}, element("span", { class: "chip", colour: ink.feedback }),
      DATA.feedback.title, element("span", { class: "quiet" }, "  dashed"))] : [])),
    ...(metadata.length ? section("Metadata", facts(metadata)) : []),
    ...section("Keys", element("table", { id: "keys" }, ...KEYS.map(([key, what]) => element("tr", {},
      element("th", {}, element("kbd", {}, key)), element("td", {}, what))))),
  ];
}
