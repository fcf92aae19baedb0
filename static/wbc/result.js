// The field: zoom, move, choose what is drawn, and select a cell.

import "./heat.js";

const STEP = 1.4;
const MOVE = 0.15;
const CLOSEST_PX = 40;
const CLICK_PX = 4;
const READABLE_PX = 24;
const ROOM = 12;

class FieldView {
  constructor(svg) {
    this.svg = svg;
    this.width = Number(svg.dataset.width);
    this.height = Number(svg.dataset.height);
    this.cellSide = typicalSide(svg);
    this.whole();
    svg.classList.add("scaled");
    svg.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    svg.addEventListener("pointerdown", (event) => this.onDown(event));
    svg.addEventListener("keydown", (event) => this.onKey(event));
    new ResizeObserver(() => this.draw()).observe(svg);
  }

  whole() {
    this.x = 0;
    this.y = 0;
    this.span = this.width;
    this.draw();
  }

  draw() {
    const tall = (this.span * this.height) / this.width;
    this.svg.setAttribute("viewBox", `${this.x} ${this.y} ${this.span} ${tall}`);
    const box = this.svg.getBoundingClientRect();
    if (!box.width || !box.height) return;
    const perPixel = Math.max(this.span / box.width, tall / box.height);
    this.svg.style.setProperty("--px", `${perPixel}px`);
    this.svg.classList.toggle("far", this.cellSide / perPixel < READABLE_PX);
    for (const hatch of this.svg.querySelectorAll(".hatch")) {
      hatch.setAttribute("patternTransform", `scale(${perPixel}) rotate(45)`);
    }
  }

  at(event) {
    return new DOMPoint(event.clientX, event.clientY).matrixTransform(this.svg.getScreenCTM().inverse());
  }

  zoom(factor, point = { x: this.x + this.span / 2, y: this.y + (this.span * this.height) / this.width / 2 }) {
    const span = Math.min(this.width, Math.max(CLOSEST_PX, this.span / factor));
    const ratio = span / this.span;
    this.x = point.x - (point.x - this.x) * ratio;
    this.y = point.y - (point.y - this.y) * ratio;
    this.span = span;
    this.stayInside();
  }

  move(right, down) {
    this.x += right;
    this.y += down;
    this.stayInside();
  }

  stayInside() {
    const tall = (this.span * this.height) / this.width;
    this.x = Math.min(Math.max(this.x, 0), this.width - this.span);
    this.y = Math.min(Math.max(this.y, 0), this.height - tall);
    this.draw();
  }

  reveal(cell) {
    const box = cell.querySelector(".box").getBBox();
    const tall = (this.span * this.height) / this.width;
    const inside = box.x >= this.x && box.x + box.width <= this.x + this.span && box.y >= this.y && box.y + box.height <= this.y + tall;
    if (!inside) this.move(box.x + box.width / 2 - this.x - this.span / 2, box.y + box.height / 2 - this.y - tall / 2);
  }

  approach(cell) {
    const box = cell.querySelector(".box").getBBox();
    this.zoom(this.span / (ROOM * Math.max(box.width, box.height)));
    this.reveal(cell);
  }

  onWheel(event) {
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY / 400), this.at(event));
  }

  onDown(event) {
    if (event.button !== 0) return;
    const start = { x: event.clientX, y: event.clientY };
    let last = start;
    this.dragged = false;
    const onMove = (moved) => {
      this.dragged ||= Math.hypot(moved.clientX - start.x, moved.clientY - start.y) > CLICK_PX;
      if (!this.dragged) return;
      const scale = parseFloat(this.svg.style.getPropertyValue("--px"));
      this.move((last.x - moved.clientX) * scale, (last.y - moved.clientY) * scale);
      last = { x: moved.clientX, y: moved.clientY };
    };
    const over = new AbortController();
    window.addEventListener("pointermove", onMove, { signal: over.signal });
    for (const end of ["pointerup", "pointercancel"]) {
      window.addEventListener(end, () => over.abort(), { signal: over.signal });
    }
  }

  onKey(event) {
    const far = this.span * MOVE;
    const acts = {
      "+": () => this.zoom(STEP),
      "=": () => this.zoom(STEP),
      "-": () => this.zoom(1 / STEP),
      0: () => this.whole(),
      ArrowLeft: () => this.move(-far, 0),
      ArrowRight: () => this.move(far, 0),
      ArrowUp: () => this.move(0, -far),
      ArrowDown: () => this.move(0, far),
    };
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in acts)) return;
    event.preventDefault();
    acts[event.key]();
  }
}

// The median side of the white cells, or of whatever cells there are.
function typicalSide(svg) {
  const drawn = (kinds) => [...svg.querySelectorAll(`${kinds} .box`)];
  const boxes = drawn(".kind-WBC").length ? drawn(".kind-WBC") : drawn(".cells");
  const sides = boxes.map((box) => box.width.baseVal.value).sort((one, other) => one - other);
  return sides.length ? sides[Math.floor(sides.length / 2)] : Infinity;
}

const svg = document.getElementById("field-view");
const view = new FieldView(svg);
const asked = svg.querySelector(".cell.selected");
if (asked && svg.classList.contains("far")) view.approach(asked);

const zooms = { in: () => view.zoom(STEP), out: () => view.zoom(1 / STEP), all: () => view.whole() };
for (const button of document.querySelectorAll("[data-zoom]")) {
  button.addEventListener("click", zooms[button.dataset.zoom]);
}

for (const box of document.querySelectorAll("input[data-kind]")) {
  const show = () => svg.classList.toggle(`hide-${box.dataset.kind}`, !box.checked);
  box.addEventListener("change", show);
  show();
}

svg.addEventListener("click", (event) => {
  const cell = event.target.closest(".cell");
  if (!cell) return;
  event.preventDefault();
  if (!view.dragged) select(cell);
});

svg.addEventListener("dragstart", (event) => event.preventDefault());
svg.addEventListener("focusin", (event) => {
  const cell = event.target.closest(".cell");
  if (cell) view.reveal(cell);
});

function select(cell) {
  svg.querySelector(".cell.selected")?.classList.remove("selected");
  cell.classList.add("selected");
  remember("cell", cell.dataset.cell);
  window.htmx.ajax("GET", svg.dataset.panel.replace(/0\/$/, `${cell.dataset.cell}/`), "#cell-panel");
}

// The address says what is shown, so that the page loaded again shows the same.
function remember(what, value) {
  const address = new URL(location.href);
  if (value) address.searchParams.set(what, value);
  else address.searchParams.delete(what);
  history.replaceState(null, "", address);
}

document.body.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (detail.target.id !== "differential-panel" || !detail.successful) return;
  remember("count", new URL(detail.pathInfo.requestPath, location).searchParams.get("count"));
});
