// The cells of a smear: columns as they came, a grid to find those in sight, and which of them the filters show.

const GRID_PX = 512;

export const FLAG = { needsReview: 1, reviewed: 2, corrected: 4, unlikeTraining: 8, abstained: 16 };

export class Cells {
  constructor(columns) {
    this.columns = columns;
    this.count = columns.number.length;
    this.shown = new Uint8Array(this.count).fill(1);
    this.shownCount = this.count;
    this.places = new Map(columns.number.map((number, place) => [number, place]));
    this.outlines = new Map();
    this.grid = gridOf(columns);
  }

  box(place) {
    const { x, y, w, h } = this.columns;
    return { x: x[place], y: y[place], w: w[place], h: h[place] };
  }

  isOpen(place) {
    return (this.columns.flags[place] & (FLAG.needsReview | FLAG.reviewed)) === FLAG.needsReview;
  }

  filter(passes) {
    this.shownCount = 0;
    for (let place = 0; place < this.count; place++) {
      this.shown[place] = passes(place) ? 1 : 0;
      this.shownCount += this.shown[place];
    }
  }

  // Calls `visit` once for every shown cell whose box meets an area.
  each(left, top, right, bottom, visit) {
    const { x, y, w, h } = this.columns;
    const reach = this.grid.reach;
    const first = { column: clampTo(left - reach, this.grid.columns), row: clampTo(top - reach, this.grid.rows) };
    const last = { column: clampTo(right, this.grid.columns), row: clampTo(bottom, this.grid.rows) };
    for (let row = first.row; row <= last.row; row++) {
      for (let column = first.column; column <= last.column; column++) {
        for (const place of this.grid.at(column, row)) {
          if (!this.shown[place]) continue;
          if (x[place] <= right && x[place] + w[place] >= left && y[place] <= bottom && y[place] + h[place] >= top) visit(place);
        }
      }
    }
  }

  // The smallest shown cell at a point, within a margin for fingers; -1 where there is none.
  at(px, py, margin) {
    let found = -1;
    let least = Infinity;
    this.each(px - margin, py - margin, px + margin, py + margin, (place) => {
      const area = this.columns.w[place] * this.columns.h[place];
      if (area < least) [found, least] = [place, area];
    });
    return found;
  }

  // The next shown cell after one, by number, going round at the end.
  next(place, step) {
    for (let moved = 1; moved <= this.count; moved++) {
      const from = place < 0 && step < 0 ? 0 : place;
      const candidate = (((from + step * moved) % this.count) + this.count) % this.count;
      if (this.shown[candidate]) return candidate;
    }
    return -1;
  }

  addOutlines(block) {
    block.number.forEach((number, order) => this.outlines.set(this.places.get(number), block.steps[order]));
  }
}

function clampTo(px, count) {
  return Math.min(Math.max(Math.floor(px / GRID_PX), 0), count - 1);
}

// Cells by the square their upper left corner lies in; `reach` is the largest side of any cell.
function gridOf({ x, y, w, h }) {
  const squares = new Map();
  let [columns, rows, reach] = [1, 1, 0];
  for (let place = 0; place < x.length; place++) {
    const [column, row] = [Math.max(0, Math.floor(x[place] / GRID_PX)), Math.max(0, Math.floor(y[place] / GRID_PX))];
    columns = Math.max(columns, column + 1);
    rows = Math.max(rows, row + 1);
    reach = Math.max(reach, w[place], h[place]);
    const key = row * 65536 + column;
    if (squares.has(key)) squares.get(key).push(place);
    else squares.set(key, [place]);
  }
  const none = [];
  return { columns, rows, reach, at: (column, row) => squares.get(row * 65536 + column) ?? none };
}
