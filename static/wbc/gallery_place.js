// The cell in hand in its field: the whole with the chosen cells boxed, and the surroundings; below it the cell's card.

const SVG = "http://www.w3.org/2000/svg";
const TIMES = 5;
const LEAST_SHARE = 1 / 60;
const CARD_AFTER_MS = 250;

export class Place {
  constructor(manifest) {
    this.manifest = manifest;
    this.link = document.getElementById("place");
    this.whole = document.getElementById("place-whole");
    this.near = document.getElementById("place-near");
  }

  show(cells, inHand, chosen) {
    this.link.hidden = inHand < 0;
    if (inHand < 0) return;
    const number = cells.columns.number[inHand];
    this.link.href = `${this.manifest.viewer}?cell=${number}`;
    const others = [...chosen].filter((place) => place !== inHand);
    const least = LEAST_SHARE * Math.max(this.manifest.width, this.manifest.height);
    const boxes = [...others.map((place) => boxOf(cells, place, least, "other")), boxOf(cells, inHand, least, "in-hand")];
    this.whole.querySelector("g").replaceChildren(...boxes);
    this.#showNear(cells, inHand);
    this.#showCard(number);
  }

  #showNear(cells, place) {
    const { width, height } = this.manifest;
    const { x, y, w, h } = cells.columns;
    const side = Math.min(Math.max(w[place], h[place]) * TIMES, Math.max(width, height));
    const left = inside(x[place] + (w[place] - side) / 2, width - side);
    const top = inside(y[place] + (h[place] - side) / 2, height - side);
    this.near.setAttribute("viewBox", `${left} ${top} ${side} ${side}`);
    this.near.querySelector("g").replaceChildren(boxOf(cells, place, 0, "in-hand"));
  }

  // Going through cells by key asks for the card of the one that is stopped at.
  #showCard(number) {
    if (number === this.number) return;
    this.number = number;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refresh(), CARD_AFTER_MS);
  }

  refresh() {
    if (this.number !== undefined) window.htmx.ajax("GET", this.manifest.panel.replace(/0\/$/, `${this.number}/`), "#cell-panel");
  }
}

// The box of a cell, at least so large that it is seen on a whole slide.
function boxOf(cells, place, least, css) {
  const { x, y, w, h } = cells.columns;
  const [width, height] = [Math.max(w[place], least), Math.max(h[place], least)];
  const box = document.createElementNS(SVG, "rect");
  const attributes = { x: x[place] + (w[place] - width) / 2, y: y[place] + (h[place] - height) / 2, width, height, class: `place-box ${css}` };
  for (const [name, value] of Object.entries(attributes)) box.setAttribute(name, value);
  return box;
}

function inside(start, last) {
  return last < 0 ? last / 2 : Math.min(Math.max(start, 0), last);
}
