// Draws the cells in sight: dots from afar, then boxes, then outlines with their codes.

const DOT_BELOW_PX = 7;
const OUTLINE_FROM_PX = 18;
const CODE_FROM_PX = 26;
const CASED_AT_MOST = 1500;
const PATH_AT_MOST = 400;
const DASHES = { solid: [], dashed: [7, 4], dotted: [2, 4] };
const TURN = Math.PI * 2;

export const OUTLINES_FROM_PX = OUTLINE_FROM_PX;

// `view`: left, top, right, bottom in image px, `scale` in screen px per image px. `looks`: markOf(place), codes.
export function drawCells(context, cells, view, looks) {
  const groups = new Map();
  let count = 0;
  cells.each(view.left, view.top, view.right, view.bottom, (place) => {
    const mark = looks.markOf(place);
    if (groups.has(mark)) groups.get(mark).push(place);
    else groups.set(mark, [place]);
    count += 1;
  });
  const cased = count <= CASED_AT_MOST;
  // The largest groups lie under the others, so that the few are seen among the many.
  const ordered = [...groups].sort(([, one], [, other]) => other.length - one.length);
  const grand = ordered[0]?.[1].length ?? 0;
  for (const [mark, places] of ordered) drawGroup(context, cells, view, { mark, places, cased, few: places.length < grand / 4 });
  context.setLineDash([]);
  if (looks.codes && cased) {
    for (const [mark, places] of ordered) if (looks.hasCode(mark)) drawCodes(context, cells, view, { mark, places });
  }
  return count;
}

function drawGroup(context, cells, view, { mark, places, cased, few }) {
  const near = [];
  context.fillStyle = mark.colour;
  const { x, y, w, h } = cells.columns;
  for (const place of places) {
    const side = Math.max(w[place], h[place]) * view.scale;
    if (side >= DOT_BELOW_PX) near.push(place);
    else {
      const dot = Math.max(few ? 4.5 : 1.5, side * 0.7);
      const [left, top] = [(x[place] + w[place] / 2 - view.left) * view.scale, (y[place] + h[place] / 2 - view.top) * view.scale];
      context.fillRect(left - dot / 2, top - dot / 2, dot, dot);
    }
  }
  for (let start = 0; start < near.length; start += PATH_AT_MOST) {
    stroke(context, pathOf(cells, view, near.slice(start, start + PATH_AT_MOST)), mark, cased);
  }
}

function pathOf(cells, view, places) {
  const path = new Path2D();
  for (const place of places) addShape(path, cells, view, place);
  return path;
}

function addShape(path, cells, view, place) {
  const { x, y, w, h } = cells.box(place);
  const outline = cells.outlines.get(place);
  if (outline && Math.max(w, h) * view.scale >= OUTLINE_FROM_PX) addOutline(path, outline, view);
  else path.rect((x - view.left) * view.scale, (y - view.top) * view.scale, w * view.scale, h * view.scale);
}

function addOutline(path, steps, view) {
  let [x, y] = steps;
  path.moveTo((x + 0.5 - view.left) * view.scale, (y + 0.5 - view.top) * view.scale);
  for (let at = 2; at < steps.length; at += 2) {
    x += steps[at];
    y += steps[at + 1];
    path.lineTo((x + 0.5 - view.left) * view.scale, (y + 0.5 - view.top) * view.scale);
  }
  path.closePath();
}

function stroke(context, path, mark, cased) {
  context.lineJoin = "round";
  if (cased) {
    context.setLineDash([]);
    context.lineWidth = 4;
    context.strokeStyle = "rgb(255 255 255 / 70%)";
    context.stroke(path);
  }
  context.setLineDash(cased ? DASHES[mark.line] : []);
  context.lineWidth = cased ? 2 : 1;
  context.strokeStyle = mark.colour;
  context.stroke(path);
}

function drawCodes(context, cells, view, { mark, places }) {
  context.font = "600 12px system-ui, sans-serif";
  context.textBaseline = "bottom";
  context.lineJoin = "round";
  for (const place of places) {
    const { x, y, w, h } = cells.box(place);
    if (Math.max(w, h) * view.scale < CODE_FROM_PX) continue;
    const flag = cells.isOpen(place) ? "?" : cells.columns.flags[place] & 4 ? "✎" : "";
    write(context, mark.code + flag, (x - view.left) * view.scale, Math.max(15, (y - view.top) * view.scale - 2));
  }
}

function write(context, text, x, y) {
  context.lineWidth = 4;
  context.strokeStyle = "#fff";
  context.strokeText(text, x, y);
  context.fillStyle = "#18242e";
  context.fillText(text, x, y);
}

export function drawSelected(context, cells, view, place) {
  const path = pathOf(cells, view, [place]);
  const { x, y, w, h } = cells.box(place);
  if (Math.max(w, h) * view.scale < OUTLINE_FROM_PX) {
    path.moveTo((x + w / 2 - view.left) * view.scale + 14, (y + h / 2 - view.top) * view.scale);
    path.arc((x + w / 2 - view.left) * view.scale, (y + h / 2 - view.top) * view.scale, 14, 0, TURN);
  }
  for (const [width, colour] of [[8, "#fff"], [5, "#000"], [2, "#ffd84d"]]) {
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.stroke(path);
  }
}

const HATCHES = {
  background: { colour: "#0072b2", turn: 45, crossed: false },
  blurred: { colour: "#882255", turn: 45, crossed: true },
  failed: { colour: "#b22222", turn: 0, crossed: false },
  unseen: { colour: "#2b2b2b", turn: 135, crossed: false },
};

// What was left out of the analysis, hatched as on the result page, and what nobody has looked at.
export function drawCoverage(context, parts, view) {
  for (const part of parts) {
    const hatch = HATCHES[part.key];
    if (!hatch || !part.path) continue;
    context.save();
    context.scale(view.scale, view.scale);
    context.translate(-view.left, -view.top);
    const pattern = patternOf(context, hatch);
    pattern.setTransform(new DOMMatrix().scale(1 / view.scale).rotate(hatch.turn));
    context.fillStyle = pattern;
    part.shape ??= new Path2D(part.path);
    context.fill(part.shape);
    context.restore();
  }
}

function patternOf(context, hatch) {
  hatch.tile ??= hatchTile(hatch);
  return context.createPattern(hatch.tile, "repeat");
}

function hatchTile({ colour, crossed }) {
  const tile = Object.assign(document.createElement("canvas"), { width: 10, height: 10 });
  const context = tile.getContext("2d");
  context.strokeStyle = colour;
  context.lineWidth = 1.5;
  context.beginPath();
  context.moveTo(0, 5);
  context.lineTo(10, 5);
  if (crossed) {
    context.moveTo(5, 0);
    context.lineTo(5, 10);
  }
  context.stroke();
  return tile;
}

// Measured distances: a line with its length, and the one that is being drawn.
export function drawMeasures(context, measures, view, lengthOf) {
  for (const { from, to } of measures) {
    const [start, end] = [from, to].map((point) => [(point.x - view.left) * view.scale, (point.y - view.top) * view.scale]);
    for (const [width, colour] of [[5, "#fff"], [2, "#18242e"]]) {
      context.lineWidth = width;
      context.strokeStyle = colour;
      context.beginPath();
      context.moveTo(...start);
      context.lineTo(...end);
      for (const [x, y] of [start, end]) {
        context.moveTo(x - 5, y);
        context.lineTo(x + 5, y);
        context.moveTo(x, y - 5);
        context.lineTo(x, y + 5);
      }
      context.stroke();
    }
    drawLength(context, lengthOf(Math.hypot(to.x - from.x, to.y - from.y)), (start[0] + end[0]) / 2 + 8, (start[1] + end[1]) / 2 - 6);
  }
}

// On a ground of its own, so that a code under it is not read as part of it.
function drawLength(context, text, x, y) {
  if (!text) return;
  context.font = "600 14px system-ui, sans-serif";
  context.textBaseline = "bottom";
  context.fillStyle = "#fff";
  context.fillRect(x - 4, y - 18, context.measureText(text).width + 8, 20);
  context.fillStyle = "#18242e";
  context.fillText(text, x, y);
}
