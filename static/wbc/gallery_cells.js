// The classified cells of a smear: columns as they came, their places on the sheets, and the sections they stand in.

import { FLAG } from "./viewer_cells.js";

export const UNIDENTIFIED = "unidentified";

const ORDERS = {
  unsure: (cells) => (one, other) => cells.isOpen(other) - cells.isOpen(one) || cells.byConfidence(one, other),
  sure: (cells) => (one, other) => cells.byConfidence(other, one),
  number: (cells) => (one, other) => cells.columns.number[one] - cells.columns.number[other],
};

export class Cells {
  constructor(columns, legend, streams) {
    Object.assign(this, { columns, legend, streams });
    this.count = columns.number.length;
    this.places = new Map(columns.number.map((number, place) => [number, place]));
    const red = legend.kinds.findIndex(({ key }) => key === "RBC");
    this.stream = columns.kind.map((kind) => (kind === red ? "RBC" : "WBC"));
    this.sheetPlaces = placesOnSheets(this.stream);
  }

  isReviewed(place) {
    return Boolean(this.columns.flags[place] & FLAG.reviewed);
  }

  isOpen(place) {
    return (this.columns.flags[place] & (FLAG.needsReview | FLAG.reviewed)) === FLAG.needsReview;
  }

  // What the network abstained on, until a person has spoken.
  isUnidentified(place) {
    const { flags, class: called } = this.columns;
    return !this.isReviewed(place) && (Boolean(flags[place] & FLAG.abstained) || called[place] < 0);
  }

  // The key of the class a cell counts as; empty where that is not shown.
  label(place) {
    return this.legend.classes[this.columns.class[place]]?.key ?? "";
  }

  state(place) {
    const bits = this.columns.flags[place];
    if (bits & FLAG.corrected) return "corrected";
    if (bits & FLAG.reviewed) return "confirmed";
    return bits & FLAG.needsReview ? "needs_review" : "";
  }

  section(place) {
    return this.isUnidentified(place) ? UNIDENTIFIED : this.label(place);
  }

  byConfidence(one, other) {
    const { confidence, number } = this.columns;
    return confidence[one] - confidence[other] || number[one] - number[other];
  }

  hasReason(place, key) {
    return Boolean(this.columns.reasons[place] & (1 << this.legend.reasons.findIndex((reason) => reason.key === key)));
  }

  // The reasons that any cell has.
  reasons() {
    const all = this.columns.reasons.reduce((bits, more) => bits | more, 0);
    return this.legend.reasons.filter((_reason, bit) => all & (1 << bit));
  }

  // The cells of a stream by section, each section in the order that was chosen; of open ones and those of a reason
  // alone where that is asked.
  sections(stream, order, { openOnly, reason }) {
    const found = new Map();
    const hidden = (place) => (openOnly && !this.isOpen(place)) || (reason && !this.hasReason(place, reason));
    for (let place = 0; place < this.count; place++) {
      if (this.stream[place] !== stream || hidden(place)) continue;
      const key = this.section(place);
      if (found.has(key)) found.get(key).push(place);
      else found.set(key, [place]);
    }
    for (const places of found.values()) places.sort(ORDERS[order](this));
    return found;
  }

  // Of each class how many cells count as it, how many of those are open, and how many unidentified.
  counts(stream) {
    const found = new Map();
    for (let place = 0; place < this.count; place++) {
      if (this.stream[place] !== stream) continue;
      const key = this.label(place);
      if (!found.has(key)) found.set(key, { all: 0, open: 0, unidentified: 0 });
      const count = found.get(key);
      count.all += 1;
      count.open += this.isOpen(place);
      count.unidentified += this.isUnidentified(place);
    }
    return found;
  }

  // What the server made of a cell; returns its place.
  adopt({ number, after, label, corrected }) {
    const place = this.places.get(number);
    const { columns } = this;
    columns.said[place] = after ?? 0;
    columns.class[place] = this.legend.classes.findIndex(({ key }) => key === label);
    columns.flags[place] &= ~(FLAG.reviewed | FLAG.corrected);
    if (after) columns.flags[place] |= FLAG.reviewed | (corrected ? FLAG.corrected : 0);
    return place;
  }

  inStream(stream) {
    return this.stream.filter((one) => one === stream).length;
  }
}

// Cells lie on the sheets of their stream in the order in which they came.
function placesOnSheets(stream) {
  const next = { WBC: 0, RBC: 0 };
  return stream.map((one) => next[one]++);
}
