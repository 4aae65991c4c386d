// What is placed, as ink: on a canvas for the screen, as SVG for paper.

const FONT = 'system-ui, -apple-system, "Segoe UI", "Liberation Sans", Arial, sans-serif';
const NAME_FONT = `600 13px ${FONT}`, SMALL_FONT = `11px ${FONT}`;
const READABLE = 0.42;  // below this scale text is left out
const PLAIN = 0.3;  // below this one boxes are rectangles, and all lines are drawn as one

function colours() {
  const style = getComputedStyle(document.documentElement);
  const dark = document.documentElement.dataset.theme === "dark";
  const named = {};
  for (const name of ["page", "card", "text", "quiet", "line", "edge", "frame", "shade",
    "pick", "hot", "added", "removed", "changed"]) {
    named[name] = style.getPropertyValue(`--${name}`).trim();
  }
  const families = {}, fills = {}, rims = {};
  for (const [key, family] of Object.entries(DATA.families)) {
    families[key] = dark ? family.dark : family.light;
    fills[key] = mixed(named.card, families[key], dark ? 0.2 : 0.1);
    rims[key] = mixed(named.card, families[key], 0.55);
  }
  return { ...named, families, fills, rims, feedback: dark ? DATA.feedback.dark : DATA.feedback.light };
}

// a * (1 - t) + b * t, of colours written as #rrggbb
function mixed(a, b, t) {
  const part = (colour, i) => parseInt(colour.slice(1 + 2 * i, 3 + 2 * i), 16);
  const mix = [0, 1, 2].map(i => Math.round(part(a, i) * (1 - t) + part(b, i) * t));
  return `#${mix.map(n => n.toString(16).padStart(2, "0")).join("")}`;
}

function lineColour(line, ink) {
  const status = line.status;
  if (status) return ink[status];
  return line.link.feedback ? ink.feedback : ink.edge;
}

class Canvas {
  constructor(element) {
    this.element = element;
    this.context = element.getContext("2d");
  }

  resize() {
    const ratio = window.devicePixelRatio || 1, box = this.element.getBoundingClientRect();
    this.ratio = ratio;
    this.width = box.width;
    this.height = box.height;
    this.element.width = Math.max(1, Math.round(box.width * ratio));
    this.element.height = Math.max(1, Math.round(box.height * ratio));
  }

  // scene: {boxes, lines}; view: {x, y, scale}; look: {ink, picked, near, level}
  draw(scene, view, look) {
    const c = this.context, { ink } = look, scale = view.scale;
    c.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    c.fillStyle = ink.page;
    c.fillRect(0, 0, this.width, this.height);
    c.setTransform(this.ratio * scale, 0, 0, this.ratio * scale,
      this.ratio * view.x, this.ratio * view.y);
    const seen = {
      left: -view.x / scale, top: -view.y / scale,
      right: (this.width - view.x) / scale, bottom: (this.height - view.y) / scale,
    };
    const inView = (x0, y0, x1, y1) =>
      x1 >= seen.left && x0 <= seen.right && y1 >= seen.top && y0 <= seen.bottom;
    const boxes = scene.boxes.filter(b => inView(b.x - 8, b.y, b.x + b.width + 8, b.y + b.height));
    for (const box of boxes) if (box.open) this.frame(box, look);
    this.lines(this.kinds(scene, look, scale, inView), look, scale);
    for (const box of boxes) if (box.open && scale >= READABLE) this.title(box, ink);
    for (const box of boxes) if (!box.open) this.box(box, look, scale);
  }

  frame(box, { ink, picked }) {
    const c = this.context;
    c.beginPath();
    c.roundRect(box.x, box.y, box.width, box.height, 10);
    c.fillStyle = box.depth % 2 ? ink.page : ink.shade;
    c.fill();
    c.lineWidth = box.id === picked ? 2.5 : 1;
    c.strokeStyle = box.id === picked ? ink.pick : ink.frame;
    c.stroke();
  }

  title(box, ink) {
    const c = this.context;
    c.font = SMALL_FONT;
    const [left, room] = box.title;
    const text = frameTitle(box, words => c.measureText(words).width <= room);
    c.fillStyle = ink.quiet;
    c.fillText(text, left, box.y + 17, Math.max(room, 1));
  }

  // The lines that are seen, joined to one path for each way they look.
  kinds(scene, { ink, near }, scale, inView) {
    const known = this.known, all = scale < PLAIN;
    if (all && known && known.scene === scene && known.ink === ink && known.near === near) {
      return known.kinds;
    }
    const kinds = new Map();
    for (const line of scene.lines) {
      if (!all && !inView(...line.bounds)) continue;
      const touched = near && near.has(line);
      const colour = touched ? ink.pick : lineColour(line, ink);
      const key = `${colour} ${line.link.feedback || line.status === "removed"} ${touched}`;
      if (!kinds.has(key)) {
        kinds.set(key, { colour, line, touched, path: new Path2D(), tips: new Path2D(), lines: [] });
      }
      const kind = kinds.get(key);
      kind.lines.push(line);
      line.shape ||= new Path2D(line.path);
      kind.path.addPath(line.shape);
      if (line.tip && !all) {
        const [x, y] = line.tip, [wx, wy] = line.way;
        kind.tips.moveTo(x, y);
        kind.tips.lineTo(x - 8 * wx - 4 * wy, y - 8 * wy - 4 * wx);
        kind.tips.lineTo(x - 8 * wx + 4 * wy, y - 8 * wy + 4 * wx);
        kind.tips.closePath();
      }
    }
    if (all) this.known = { scene, ink, near, kinds };
    return kinds;
  }

  lines(kinds, { ink, picked, near }, scale) {
    const c = this.context, dim = picked !== null && near && near.size;
    for (const { colour, line, touched, path, tips } of kinds.values()) {
      c.globalAlpha = dim && !touched ? 0.45 : 1;
      c.strokeStyle = c.fillStyle = colour;
      c.lineWidth = Math.max(touched ? 2.2 : line.link.feedback ? 1.8 : 1.4, 0.7 / scale);
      c.setLineDash(line.link.feedback ? [6, 4] : line.status === "removed" ? [2, 3] : []);
      c.stroke(path);
      c.fill(tips);
    }
    c.setLineDash([]);
    c.globalAlpha = 1;
    if (scale < READABLE) return;
    c.font = SMALL_FONT;
    c.textAlign = "center";
    for (const line of [...kinds.values()].flatMap(kind => kind.lines)) {
      if (!line.link.feedback) continue;
      const [x, y] = line.label;
      c.fillStyle = ink.page;
      c.fillRect(x - 12, y - 7, 24, 14);
      c.fillStyle = ink.feedback;
      c.fillText("t-1", x, y + 4);
    }
    c.textAlign = "left";
  }

  box(box, look, scale) {
    const c = this.context, { ink, picked, level } = look;
    const thing = THINGS[box.id], text = PICTURE.boxes[box.id];
    const family = thing.parts ? "graph" : thing.family, colour = ink.families[family];
    const status = thing.status && ink[thing.status];
    const heat = level ? level(box.id) : null;
    const round = thing.type === "Input" || thing.type === "Output" ? box.height / 2 : 7;
    if (scale < 0.12) {
      c.fillStyle = status || (heat === null ? colour : mixed(ink.line, ink.hot, heat));
      c.fillRect(box.x, box.y, box.width, box.height);
      return;
    }
    const fill = heat === null ? ink.fills[family] : mixed(ink.card, ink.hot, heat);
    const rim = box.id === picked ? ink.pick : status || ink.rims[family];
    if (scale < PLAIN) {
      c.fillStyle = fill;
      c.fillRect(box.x, box.y, box.width, box.height);
      c.fillStyle = colour;
      c.fillRect(box.x, box.y, 9, box.height);
      c.lineWidth = (box.id === picked || status ? 2 : 0.8) / scale;
      c.strokeStyle = rim;
      c.strokeRect(box.x, box.y, box.width, box.height);
      return;
    }
    const shape = (dx, dy) => {
      c.beginPath();
      c.roundRect(box.x + dx, box.y + dy, box.width, box.height, round);
    };
    c.lineWidth = 1;
    if (thing.parts) {
      for (const far of [6, 3]) {
        shape(far, far);
        c.fillStyle = ink.card;
        c.fill();
        c.strokeStyle = ink.frame;
        c.stroke();
      }
    }
    shape(0, 0);
    c.fillStyle = fill;
    c.fill();
    if (round === 7) {
      c.fillStyle = colour;
      c.beginPath();
      c.roundRect(box.x, box.y, 7, box.height, [7, 0, 0, 7]);
      c.fill();
      shape(0, 0);
    }
    c.lineWidth = box.id === picked || status ? 2.5 : 1;
    c.strokeStyle = rim;
    if (thing.status === "removed") c.setLineDash([4, 3]);
    c.stroke();
    c.setLineDash([]);
    if (scale < READABLE) return;
    const indent = box.x + (round > 7 ? 20 : 16);
    c.font = NAME_FONT;
    c.fillStyle = ink.text;
    c.fillText(text.name, indent, box.y + 18, box.width - 24);
    c.font = SMALL_FONT;
    c.fillStyle = heat !== null && heat > 0.5 ? ink.text : ink.quiet;
    c.fillText(text.detail, indent, box.y + 34, box.width - 24);
    const sign = { added: "+", removed: "−", changed: "≠" }[thing.status] || (thing.parts ? "+" : "");
    if (sign) {
      c.font = NAME_FONT;
      c.textAlign = "right";
      c.fillStyle = status || ink.quiet;
      c.fillText(sign, box.x + box.width - 9, box.y + 17);
      c.textAlign = "left";
    }
  }
}

// What an open group is called, and of what it is made, where there is room for so much.
function frameTitle(box, fits) {
  const group = THINGS[box.id], types = group.name.startsWith(group.types) ? "" : group.types;
  const kind = { part: "", repeat: "", graph: "nested graph" }[group.kind] ?? group.kind;
  const said = [[group.name, kind, types], [group.name, types], [group.name, kind], [group.name]]
    .map(words => `−  ${words.filter(Boolean).join("  ")}`);
  const found = said.find(fits);
  if (found) return found;
  let name = group.name;
  while (name.length > 1 && !fits(`−  …${name}`)) name = name.slice(1);
  return `−  …${name}`;
}

// What keeps a text that may be too wide in some font to its room.
function fitted(words, letter, room) {
  const wide = [...words].reduce((sum, c) => sum + ("fijlrtI.,:;'|!()[] -_".includes(c) ? 0.66 : 1), 0);
  return wide * letter > room ? `textLength="${room}" lengthAdjust="spacingAndGlyphs"` : "";
}

// The same picture as SVG text.
function asSvg(scene, ink) {
  const safe = text => text.replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`);
  const n = value => Math.round(value * 10) / 10;
  const out = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="-16 -28 ${n(scene.width + 32)} ` +
    `${n(scene.height + 56)}" width="${n(scene.width + 32)}" height="${n(scene.height + 56)}" ` +
    `font-family="system-ui, 'Liberation Sans', Arial, sans-serif">`,
  ];
  const shape = (box, fill, stroke, more = "") =>
    `<rect x="${n(box.x)}" y="${n(box.y)}" width="${n(box.width)}" height="${n(box.height)}" ` +
    `fill="${fill}" stroke="${stroke}" ${more}/>`;
  const text = (x, y, words, size, fill, more = "") =>
    `<text x="${n(x)}" y="${n(y)}" font-size="${size}" fill="${fill}" ${more}>${safe(words)}</text>`;
  for (const box of scene.boxes) {
    if (!box.open) continue;
    out.push(shape(box, box.depth % 2 ? ink.page : ink.shade, ink.frame, 'rx="10"'));
    const [left, room] = box.title;
    const words = frameTitle(box, said => said.length * 6.6 <= room + 14).slice(3);
    out.push(text(left, box.y + 17, words, 11, ink.quiet));
  }
  for (const line of scene.lines) {
    const colour = lineColour(line, ink);
    const dash = line.link.feedback ? "6 4" : line.status === "removed" ? "2 3" : "none";
    out.push(`<path d="${line.path}" fill="none" stroke="${colour}" stroke-width="1.4" ` +
      `stroke-dasharray="${dash}"/>`);
    if (line.tip) {
      const [x, y] = line.tip, [wx, wy] = line.way;
      out.push(`<path fill="${colour}" d="M${n(x)} ${n(y)}L${n(x - 8 * wx - 4 * wy)} ` +
        `${n(y - 8 * wy - 4 * wx)}L${n(x - 8 * wx + 4 * wy)} ${n(y - 8 * wy + 4 * wx)}Z"/>`);
    }
    if (line.link.feedback) {
      const [x, y] = line.label;
      out.push(`<rect x="${n(x - 12)}" y="${n(y - 7)}" width="24" height="14" fill="${ink.page}"/>`);
      out.push(text(x, y + 4, "t-1", 11, ink.feedback, 'text-anchor="middle"'));
    }
  }
  for (const box of scene.boxes) {
    if (box.open) continue;
    const thing = THINGS[box.id], words = PICTURE.boxes[box.id];
    const colour = thing.parts ? ink.families.graph : ink.families[thing.family];
    const border = thing.type === "Input" || thing.type === "Output";
    const round = `rx="${border ? box.height / 2 : 7}"`;
    if (thing.parts) {
      out.push(shape({ ...box, x: box.x + 4, y: box.y + 4 }, ink.card, ink.frame, round));
    }
    const status = thing.status ? ink[thing.status] : ink.rims[thing.parts ? "graph" : thing.family];
    out.push(shape(box, ink.fills[thing.parts ? "graph" : thing.family], status, round));
    if (!border) out.push(shape({ ...box, width: 6 }, colour, "none", 'rx="3"'));
    const indent = box.x + (border ? 20 : 16);
    const room = box.width - 26;
    out.push(text(indent, box.y + 18, words.name, 13, ink.text,
      `font-weight="600" ${fitted(words.name, 8.6, room)}`));
    out.push(text(indent, box.y + 34, words.detail, 11, ink.quiet, fitted(words.detail, 7, room)));
  }
  out.push("</svg>");
  return out.join("\n");
}
