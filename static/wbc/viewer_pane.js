// One smear in deep zoom with its cells over it, its scale bar and its measured distances.

import { Cells } from "./viewer_cells.js";
import { drawCells, drawCoverage, drawMeasures, drawSelected, OUTLINES_FROM_PX } from "./viewer_drawing.js";

const STEP = 1.5;
const MOVE = 0.2;
const SEEN_PX = 90;
const FINGER_PX = 10;
const OUTLINE_BLOCKS_AT_MOST = 12;
const BAR_PX = 140;
const READY_AGAIN_MS = 3000;

export class Pane {
  // `looks`: markOf(cells, place), codes, coverage; `tell`: picked(pane, place), hovered(pane, place, event), moved(pane).
  constructor(root, manifest, { looks, tell, words }) {
    Object.assign(this, { root, manifest, looks, tell, words });
    this.cells = null;
    this.selected = -1;
    this.measures = [];
    this.measuring = false;
    this.start = null;
    this.asked = new Set();
    this.still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.canvas = root.querySelector("canvas.overlay");
    this.viewer = this.openSeadragon(root.querySelector(".picture"));
    // Within the picture, the cells lie under its small map.
    this.viewer.canvas.append(this.canvas);
    this.listen();
    this.loaded = this.load();
  }

  openSeadragon(element) {
    const touch = { clickToZoom: false, dblClickToZoom: true };
    return window.OpenSeadragon({
      element,
      tileSources: this.tileSource(),
      drawer: "canvas",
      prefixUrl: "",
      showNavigationControl: false,
      showNavigator: Math.max(this.manifest.width, this.manifest.height) > 4096,
      navigatorPosition: "TOP_RIGHT",
      navigatorSizeRatio: 0.18,
      navigatorBackground: "#e9e6e8",
      keyboardNavEnabled: false,
      tabIndex: "",
      gestureSettingsMouse: touch,
      gestureSettingsTouch: touch,
      gestureSettingsPen: touch,
      animationTime: this.still ? 0 : 0.35,
      springStiffness: 8,
      maxZoomPixelRatio: 8,
      minZoomImageRatio: 0.7,
      visibilityRatio: 0.4,
      zoomPerScroll: 1.3,
      imageLoaderLimit: 6,
      maxImageCacheCount: 300,
    });
  }

  tileSource() {
    const { width, height, tile, tiles, ready } = this.manifest;
    const pattern = tiles.replace(/0\/0\/0\.jpg$/, "");
    const halvings = Math.max(0, Math.ceil(Math.log2(Math.max(width, height) / tile.side)));
    const version = ready ? tile.version : `preview-${Date.now()}`;
    return {
      width,
      height,
      tileSize: tile.side,
      tileOverlap: tile.overlap,
      minLevel: tile.last - halvings,
      maxLevel: tile.last,
      getTileUrl: (level, x, y) => `${pattern}${level}/${x}/${y}.jpg?v=${version}`,
    };
  }

  listen() {
    for (const event of ["update-viewport", "resize", "open"]) this.viewer.addHandler(event, () => this.draw());
    this.viewer.addHandler("viewport-change", () => this.tell.moved(this));
    this.viewer.addHandler("canvas-click", (event) => {
      if (event.quick) this.onClick(event);
    });
    this.viewer.addHandler("canvas-double-click", (event) => {
      event.preventDefaultAction = this.measuring;
    });
    this.root.addEventListener("pointermove", (event) => this.onHover(event));
    this.root.addEventListener("pointerleave", () => this.tell.hovered(this, -1));
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  async load() {
    const came = await fetch(this.manifest.cells, { credentials: "same-origin" });
    if (!came.ok) throw new Error(this.words.cells_failed);
    this.cells = new Cells(await came.json());
    if (!this.manifest.ready) this.waitForPicture();
    this.draw();
  }

  // Where the full resolution is still being prepared, the preview is shown meanwhile.
  waitForPicture() {
    this.root.classList.add("preparing");
    setTimeout(async () => {
      if (this.gone) return;
      const came = await fetch(this.manifest.self).catch(() => null);
      const manifest = came?.ok ? await came.json() : this.manifest;
      if (this.gone) return;
      if (!manifest.ready) {
        this.waitForPicture();
        return;
      }
      this.manifest = manifest;
      this.root.classList.remove("preparing");
      const bounds = this.viewer.viewport.getBounds();
      this.viewer.addOnceHandler("open", () => this.viewer.viewport.fitBounds(bounds, true));
      this.viewer.open(this.tileSource());
    }, READY_AGAIN_MS);
  }

  // The part of the image in sight, in image px, and screen px per image px.
  view() {
    const bounds = this.viewer.viewport?.getBounds(true);
    const { clientWidth: across, clientHeight: down } = this.canvas;
    if (!bounds || !across) return null;
    const px = this.manifest.width;
    const scale = across / (bounds.width * px);
    const [left, top] = [bounds.x * px, bounds.y * px];
    return { left, top, right: left + across / scale, bottom: top + down / scale, scale };
  }

  draw() {
    const view = this.view();
    if (!view) return;
    const began = performance.now();
    const context = this.context();
    if (this.coverage && this.looks.coverage) drawCoverage(context, this.coverage, view);
    if (this.unseen && this.looks.unseen) drawCoverage(context, [this.unseen], view);
    if (this.cells) {
      const { codes, hasCode } = this.looks;
      const looks = { markOf: (place) => this.looks.markOf(this.cells, place), codes, hasCode };
      this.root.dataset.inSight = drawCells(context, this.cells, view, looks);
      if (this.selected >= 0) drawSelected(context, this.cells, view, this.selected);
      this.wantOutlines(view);
    }
    this.drawMeasures(context, view);
    this.drawBar(view);
    this.root.dataset.drawMs = (performance.now() - began).toFixed(2);
  }

  context() {
    const { canvas } = this;
    const sharp = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(canvas.clientWidth * sharp), Math.round(canvas.clientHeight * sharp)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    context.setTransform(sharp, 0, 0, sharp, 0, 0);
    context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    return context;
  }

  // Outlines come block by block, once the cells in sight are large enough to show them.
  wantOutlines(view) {
    const { block } = this.manifest;
    if (this.cells.grid.reach * view.scale < OUTLINES_FROM_PX) return;
    const first = [Math.max(0, Math.floor(view.left / block)), Math.max(0, Math.floor(view.top / block))];
    const last = [Math.floor(Math.min(view.right, this.manifest.width - 1) / block), Math.floor(Math.min(view.bottom, this.manifest.height - 1) / block)];
    if ((last[0] - first[0] + 1) * (last[1] - first[1] + 1) > OUTLINE_BLOCKS_AT_MOST) return;
    for (let column = first[0]; column <= last[0]; column++) {
      for (let row = first[1]; row <= last[1]; row++) this.fetchOutlines(column, row);
    }
  }

  async fetchOutlines(column, row) {
    const key = `${column}/${row}`;
    if (this.asked.has(key)) return;
    this.asked.add(key);
    const came = await fetch(this.manifest.outlines.replace("0/0.json", `${key}.json`)).catch(() => null);
    if (!came?.ok) {
      this.asked.delete(key);
      return;
    }
    this.cells.addOutlines(await came.json());
    this.draw();
  }

  lengthOf(px) {
    const { pixelUm } = this.manifest;
    return pixelUm ? `${(px * pixelUm).toFixed(2)} µm` : `${px.toFixed(0)} px`;
  }

  drawMeasures(context, view) {
    const open = this.start && this.end ? [{ from: this.start, to: this.end }] : [];
    drawMeasures(context, [...this.measures, ...open], view, (px) => this.lengthOf(px));
    if (this.start && !this.end) drawMeasures(context, [{ from: this.start, to: this.start }], view, () => "");
  }

  drawBar(view) {
    const { pixelUm } = this.manifest;
    const unit = pixelUm ?? 1;
    const length = roundDown((BAR_PX * unit) / view.scale);
    const text = pixelUm ? `${length} µm` : `${length} px`;
    const bar = this.root.querySelector(".scale-bar");
    bar.querySelector("i").style.width = `${(length / unit) * view.scale}px`;
    bar.querySelector("span").textContent = text;
  }

  imagePoint(position) {
    const view = this.view();
    return { x: view.left + position.x / view.scale, y: view.top + position.y / view.scale };
  }

  onClick(event) {
    const point = this.imagePoint(event.position);
    if (this.measuring) {
      this.mark(point);
      return;
    }
    if (!this.cells) return;
    const margin = (event.originalEvent?.pointerType === "touch" ? FINGER_PX : 2) / this.view().scale;
    const place = this.cells.at(point.x, point.y, margin);
    if (place >= 0) this.tell.picked(this, place);
  }

  onHover(event) {
    if (event.pointerType === "touch" || !this.view()) return;
    const box = this.canvas.getBoundingClientRect();
    const point = this.imagePoint({ x: event.clientX - box.left, y: event.clientY - box.top });
    if (this.measuring && this.start) {
      this.end = point;
      this.draw();
    }
    const place = this.cells && !this.measuring ? this.cells.at(point.x, point.y, 1 / this.view().scale) : -1;
    this.tell.hovered(this, place, event);
  }

  // The first call begins a distance, the second ends it.
  mark(point) {
    if (!this.start) this.start = point;
    else {
      const distance = { from: this.start, to: point };
      this.measures.push(distance);
      [this.start, this.end] = [null, null];
      this.tell.measured(this, this.lengthOf(Math.hypot(distance.to.x - distance.from.x, distance.to.y - distance.from.y)));
    }
    this.draw();
  }

  markCentre() {
    const view = this.view();
    this.mark({ x: (view.left + view.right) / 2, y: (view.top + view.bottom) / 2 });
  }

  measure(on) {
    this.measuring = on;
    [this.start, this.end] = [null, null];
    this.root.classList.toggle("measuring", on);
    this.draw();
  }

  clearMeasures() {
    this.measures = [];
    [this.start, this.end] = [null, null];
    this.draw();
  }

  async showCoverage() {
    if (this.coverage) return this.coverage;
    const came = await fetch(this.manifest.coverage);
    this.coverage = came.ok ? await came.json() : [];
    this.draw();
    return this.coverage;
  }

  select(place) {
    this.selected = place;
    this.draw();
  }

  whole() {
    this.viewer.viewport.goHome(this.still);
  }

  zoom(factor) {
    this.viewer.viewport.zoomBy(factor, null, this.still);
    this.viewer.viewport.applyConstraints(this.still);
  }

  closer() {
    this.zoom(STEP);
  }

  farther() {
    this.zoom(1 / STEP);
  }

  move(right, down) {
    const { viewport } = this.viewer;
    const bounds = viewport.getBounds();
    viewport.panBy(new window.OpenSeadragon.Point(right * bounds.width * MOVE, down * bounds.height * MOVE), this.still);
    viewport.applyConstraints(this.still);
  }

  // A cell in the middle of the picture, near enough to be seen; a nearer view is kept.
  centreOn(place) {
    const { viewport } = this.viewer;
    const { x, y, w, h } = this.cells.box(place);
    const px = this.manifest.width;
    viewport.panTo(new window.OpenSeadragon.Point((x + w / 2) / px, (y + h / 2) / px), this.still);
    const scale = this.canvas.clientWidth / (viewport.getBounds().width * px);
    const wanted = SEEN_PX / Math.max(w, h);
    if (scale < wanted) viewport.zoomBy(wanted / scale, null, this.still);
  }

  destroy() {
    this.gone = true;
    this.viewer.destroy();
    this.root.remove();
  }
}

// 1, 2 or 5 times a power of ten, at most as much as given.
function roundDown(length) {
  const ten = 10 ** Math.floor(Math.log10(length));
  const times = [5, 2, 1].find((one) => one * ten <= length) ?? 1;
  return Number((times * ten).toPrecision(1));
}
