// Where everything stands with some groups open. Each scope comes laid out with its groups folded;
// an open one pushes what is beside it aside and what is below it down, and nothing else moves.
"use strict";

const ROW_GAP = 38, BAND_GAP = 64, PAD = 14, HEAD = 26, SPREAD = 16, TITLE = 10, CLEAR = 6;

// One scope on its own: boxes and links relative to its upper left corner.
function placeScope(picture, id, open) {
  const laid = picture.scopes.get(id);
  const inner = new Map(), sizes = new Map();
  for (const [item] of laid.items) {
    const box = picture.boxes[item];
    if (open.has(item)) {
      const part = placeScope(picture, item, open);
      const ports = part.ports.map(p => p.x + PAD);
      const width = Math.max(part.width + 2 * PAD, box.width);
      const left = ports.length ? (Math.min(...ports) + Math.max(...ports)) / 2 : width / 2;
      inner.set(item, part);
      sizes.set(item, { left, right: width - left, height: part.height + HEAD + PAD });
    } else {
      sizes.set(item, { left: box.width / 2, right: box.width / 2, height: box.height });
    }
  }
  const bandOf = row => laid.bands.findLastIndex(start => start <= row);
  const warps = roomFor(picture, laid, sizes, bandOf);
  const moved = (x, row) => warps[bandOf(row)](x);

  const heights = new Array(laid.rows).fill(0);
  for (const [item, , row] of laid.items) {
    heights[row] = Math.max(heights[row], sizes.get(item).height);
  }
  const tops = [], ends = [];
  for (let row = 0; row < laid.rows; row++) {
    const fresh = laid.bands.includes(row);
    const gap = heights[row] && row && heights[row - 1] ? ROW_GAP : ROW_GAP / 2;
    tops.push(fresh ? 0 : tops[row - 1] + heights[row - 1] + gap);
    ends[bandOf(row)] = tops[row] + heights[row];
  }
  const points = laid.links.map(l => l.points.map(([x, row]) => [moved(x, row), row]));
  const spans = laid.bands.map(() => [Infinity, -Infinity]);
  const widen = (row, low, high) => {
    const span = spans[bandOf(row)];
    span[0] = Math.min(span[0], low);
    span[1] = Math.max(span[1], high);
  };
  const loops = new Set(laid.links.filter(l => l.source === l.target && l.source !== null)
    .map(l => l.source));
  for (const [item, x, row] of laid.items) {
    const size = sizes.get(item), at = moved(x, row);
    widen(row, at - size.left, at + size.right + (loops.has(item) ? 46 : 0));
  }
  for (const line of points) for (const [x, row] of line) widen(row, x - 4, x + 4);
  const shifts = [], sides = [];
  let width = 0;
  for (const [low, high] of spans) {
    shifts.push(width - (low < Infinity ? low : 0));
    width += (low < Infinity ? high - low : 0) + BAND_GAP;
    sides.push(width - BAND_GAP / 2);  // the middle of the gap to the right of a band
  }
  const height = Math.max(...ends, 0);
  const shifted = (x, row) => x + shifts[bandOf(row)];

  const boxes = new Map();
  for (const [item, x, row] of laid.items) {
    const size = sizes.get(item), at = shifted(moved(x, row), row);
    boxes.set(item, {
      item, row, middle: at, x: at - size.left, width: size.left + size.right,
      y: tops[row] + (heights[row] - size.height) / 2, height: size.height, part: inner.get(item),
    });
  }
  const top = new Set(laid.top);
  const ports = laid.ports.map((x, port) => {
    const row = top.has(port) ? 0 : laid.rows - 1;
    return { x: shifted(moved(x, row), row), y: top.has(port) ? 0 : height, row, top: top.has(port) };
  });
  const stops = points.map(line => line.map(([x, row]) => [shifted(x, row), row]));
  return {
    laid, boxes, ports, ...joined(laid, inner, stops), tops, heights, ends, sides, bandOf, height,
    width: Math.max(width - BAND_GAP, 0),
  };
}

// The links as they are drawn: those between the same two boxes as one, where no port tells them
// apart because the groups are folded.
function joined(laid, inner, stops) {
  const links = [], kept = [], known = new Map();
  laid.links.forEach((link, number) => {
    const end = which => [link[which],
      link[which] === null || inner.has(link[which]) ? link[which + "Port"] : 0];
    const key = [...end("source"), ...end("target"), link.up, link.feedback].join();
    if (known.has(key)) {
      known.get(key).edges.push(...link.edges);
    } else {
      known.set(key, { ...link, edges: [...link.edges] });
      links.push(known.get(key));
      kept.push(stops[number]);
    }
  });
  return { links, stops: kept };
}

// For each band a function that moves an x aside for the groups that are open there.
function roomFor(picture, laid, sizes, bandOf) {
  const wider = laid.bands.map(() => new Map());
  for (const [item, x, row] of laid.items) {
    const half = picture.boxes[item].width / 2, size = sizes.get(item);
    const left = Math.max(size.left - half, 0), right = Math.max(size.right - half, 0);
    if (!left && !right) continue;
    const known = wider[bandOf(row)], key = Math.floor(x / 4 + 0.5);
    const old = known.get(key) || { x, half, left: 0, right: 0 };
    known.set(key, {
      x: old.x, half: Math.min(half, old.half),
      left: Math.max(left, old.left), right: Math.max(right, old.right),
    });
  }
  return wider.map(known => {
    const all = [...known.values()];
    return x => all.reduce((sum, w) => {
      const far = Math.max(-1, Math.min(1, (x - w.x) / w.half));
      return sum + far * (far < 0 ? w.left : w.right);
    }, x);
  });
}

// Everything in absolute places: boxes (outer before inner) and lines.
function placeAll(picture, open) {
  const boxes = [], lines = [];
  const whole = placeScope(picture, null, open);
  (function settle(scope, dx, dy, above, below, depth) {
    const ends = sortedEnds(scope);
    scope.links.forEach((link, number) => {
      lines.push(line(scope, link, number, ends, dx, dy, above, below));
    });
    for (const box of scope.boxes.values()) {
      boxes.push({
        id: box.item, x: box.x + dx, y: box.y + dy, width: box.width, height: box.height,
        open: Boolean(box.part), scope: scope.laid.id, depth,
        title: box.part ? titleGap(box.part, box.x + dx, box.width) : null,
      });
      if (box.part) {
        const room = box.height - box.part.height - HEAD;
        settle(box.part, box.x + dx + PAD, box.y + dy + HEAD, HEAD, room, depth + 1);
      }
    }
  })(whole, 0, 0, 0, 0, 0);
  return { boxes, lines, width: whole.width, height: whole.height };
}

// The widest place along the upper side of a frame that no line crosses: its left end, its width.
function titleGap(part, x, width) {
  // Lines from column to column pass above all but the first.
  const end = part.sides.length > 1 ? x + PAD + part.sides[0] : x + width - TITLE + CLEAR;
  const crossed = part.ports.filter(port => port.top).map(port => x + PAD + port.x);
  const ends = [x + TITLE - CLEAR, ...crossed.filter(at => at < end).sort((a, b) => a - b), end];
  const gaps = ends.slice(1).map((end, i) => [ends[i] + CLEAR, end - ends[i] - 2 * CLEAR]);
  return gaps.reduce((best, gap) => gap[1] > best[1] ? gap : best);
}

// Where lines leave and reach boxes: spread along the side, in the order of where they go.
function sortedEnds(scope) {
  const sides = new Map();
  scope.links.forEach((link, number) => {
    if (link.source === link.target && link.source !== null) return;
    const upper = link.up ? "target" : "source", lower = link.up ? "source" : "target";
    const stops = scope.stops[number];
    const x = end => link[end] === null
      ? scope.ports[link[end + "Port"]].x : scope.boxes.get(link[end]).middle;
    const join = (end, side, next) => {
      if (link[end] === null) return;
      const key = link[end] + side;
      if (!sides.has(key)) sides.set(key, []);
      sides.get(key).push([number, next]);
    };
    join(upper, "v", stops.length ? stops[0][0] : x(lower));
    join(lower, "^", stops.length ? stops[stops.length - 1][0] : x(upper));
  });
  const places = new Map();
  for (const [key, side] of sides) {
    side.sort((a, b) => a[1] - b[1] || a[0] - b[0]);
    side.forEach(([number], i) => places.set(number + key.slice(-1), [i, side.length]));
  }
  return places;
}

// The line of one link: a path, where its arrow is, and where a label may stand.
function line(scope, link, number, ends, dx, dy, above, below) {
  const style = { link, scope: scope.laid.id };
  if (link.source === link.target && link.source !== null) {
    const box = scope.boxes.get(link.source);
    const x = box.x + box.width + dx, y = box.y + box.height / 2 + dy;
    return {
      ...style, tip: [x, y - 9], way: [-1, 0], label: [x + 34, y],
      path: `M${x} ${y + 9}C${x + 30} ${y + 18} ${x + 30} ${y - 18} ${x} ${y - 9}`,
      bounds: [x, y - 20, x + 46, y + 20],
    };
  }
  const upper = link.up ? "target" : "source", lower = link.up ? "source" : "target";
  const end = (which, side) => {
    const port = link[which + "Port"];
    if (link[which] === null) {
      const at = scope.ports[port];
      return { x: at.x, row: at.row, y: at.top ? -above : at.y + below, border: true };
    }
    const box = scope.boxes.get(link[which]);
    const y = side === "v" ? box.y + box.height : box.y;
    if (box.part) return { x: box.x + PAD + box.part.ports[port].x, row: box.row, y };
    const [i, count] = ends.get(number + side);
    const step = Math.min(SPREAD, (box.width - 24) / count);
    return { x: box.middle + (i - (count - 1) / 2) * step, row: box.row, y };
  };
  const start = end(upper, "v"), stop = end(lower, "^");
  const bottom = row => scope.tops[row] + scope.heights[row];
  // (x, y, row): down to the end of the own row, past other rows, to the lower end.
  const way = [[start.x, start.y, start.row]];
  if (start.border) way.push([start.x, 0, start.row]);  // straight past the title of the frame
  else way.push([start.x, bottom(start.row), start.row]);
  for (const [x, row] of scope.stops[number]) {
    way.push([x, scope.tops[row], row], [x, bottom(row), row]);
  }
  if (!stop.border) way.push([stop.x, scope.tops[stop.row], stop.row]);
  way.push([stop.x, stop.y, stop.row]);
  const bounds = [Infinity, Infinity, -Infinity, -Infinity];
  const reach = (x, y) => {
    bounds[0] = Math.min(bounds[0], x); bounds[1] = Math.min(bounds[1], y);
    bounds[2] = Math.max(bounds[2], x); bounds[3] = Math.max(bounds[3], y);
  };
  const say = n => Math.round(n * 10) / 10;
  let path = "", longest = -1, label = [0, 0], last = null;
  for (const [px, py, row] of way) {
    const x = px + dx, y = py + dy;
    reach(x, y);
    if (!last) path = `M${say(x)} ${say(y)}`;
    else if (scope.bandOf(row) !== last.band) {
      const from = scope.ends[last.band] + dy, side = scope.sides[last.band] + dx;
      const far = scope.sides[scope.bandOf(row) - 1] + dx;
      path += `L${say(last.x)} ${say(from + 8)}Q${say(last.x)} ${say(from + 18)} ` +
        `${say(last.x + 10)} ${say(from + 18)}L${say(side - 10)} ${say(from + 18)}` +
        `Q${say(side)} ${say(from + 18)} ${say(side)} ${say(from + 8)}` +
        (far > side ? `L${say(side)} ${say(dy - 6)}L${say(far)} ${say(dy - 6)}` : "") +
        `L${say(far)} ${say(dy - 8)}Q${say(far)} ${say(dy - 18)} ${say(far + 10)} ${say(dy - 18)}` +
        `L${say(x - 10)} ${say(dy - 18)}Q${say(x)} ${say(dy - 18)} ${say(x)} ${say(dy - 8)}` +
        `L${say(x)} ${say(y)}`;
      reach(side, from + 18); reach(far, dy - 18);
      if (longest < 0) label = [last.x, from + 10];
    } else if (x === last.x || y === last.y) path += `L${say(x)} ${say(y)}`;
    else {
      const bend = Math.max((y - last.y) / 2, 6);
      path += `C${say(last.x)} ${say(last.y + bend)} ${say(x)} ${say(y - bend)} ${say(x)} ${say(y)}`;
    }
    if (last && scope.bandOf(row) === last.band && y - last.y > longest) {
      longest = y - last.y;
      label = [(x + last.x) / 2, (y + last.y) / 2];
    }
    last = { x, y, band: scope.bandOf(row) };
  }
  // The tip is at the target: below it where the line runs upwards. Borders have none.
  const tip = link.up ? [start.x + dx, start.y + dy] : [stop.x + dx, stop.y + dy];
  return {
    ...style, path, bounds, label, tip: link.target === null || isOpen(scope, link) ? null : tip,
    way: link.up ? [0, -1] : [0, 1],
  };
}

function isOpen(scope, link) {
  return Boolean(scope.boxes.get(link.target).part);
}
