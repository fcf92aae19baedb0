// The cells as tiles in sections: built once, moved when they change; only those in sight load their picture.

const SIGNS = { needs_review: "?", confirmed: "✓", corrected: "✎" };
const HEAT_AFTER_MS = 350;
const NOT_RELIABLE = 1;

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// How a class is marked: by colour, line and code.
export function swatch(mark) {
  const sample = make("span", { className: "legend-mark", textContent: mark?.code ?? "?" });
  sample.setAttribute("aria-hidden", "true");
  if (mark) Object.assign(sample.style, { borderColor: mark.colour, borderStyle: mark.line });
  return sample;
}

export class Grid {
  constructor(root, cells, { manifest, words }) {
    Object.assign(this, { root, cells, manifest, words, tiles: new Map(), parts: new Map(), flat: [], heatOn: false });
    root.addEventListener("pointerover", (event) => this.#rest(event));
    root.addEventListener("pointerout", () => this.#leave());
  }

  // Each of `sections` is {key, name, mark, places, facts, drop, note}.
  render(sections) {
    const at = document.activeElement?.closest?.(".tile");
    this.flat = sections.flatMap(({ places }) => places);
    const shown = sections.map((section) => this.#section(section));
    if (shown.length !== this.root.children.length || shown.some((part, n) => this.root.children[n] !== part)) {
      this.root.replaceChildren(...shown);
    }
    if (at?.isConnected && at !== document.activeElement) at.focus({ preventScroll: true });
  }

  note(text, button) {
    this.flat = [];
    this.root.replaceChildren(make("p", { className: "cells-note", textContent: text }), ...(button ? [button] : []));
  }

  #section({ key, name, mark, places, facts, drop, note }) {
    let part = this.parts.get(key);
    if (!part) {
      const head = make("div", { className: "section-head", id: `class-${key}` });
      const tiles = make("div", { className: "cell-tiles" });
      part = make("section", { className: "cell-section" }, head, tiles);
      tiles.setAttribute("aria-labelledby", head.id);
      if (drop) part.dataset.drop = key;
      part.dataset.section = key;
      this.parts.set(key, part);
    }
    const [head, tiles] = part.children;
    const all = make("button", { type: "button", className: "linklike", textContent: this.words.choose_all });
    all.setAttribute("aria-label", `${this.words.choose_all}: ${name}`);
    all.dataset.choose = key;
    const told = [make("strong", { textContent: name }), make("span", { className: "tabular", textContent: facts }), ...(note ? [make("span", { className: "soft", textContent: note })] : [])];
    head.replaceChildren(swatch(mark), ...told, ...(places.length ? [all] : []));
    tiles.setAttribute("role", places.length ? "listbox" : "group");
    if (places.length) tiles.setAttribute("aria-multiselectable", "true");
    else tiles.removeAttribute("aria-multiselectable");
    if (!places.length) tiles.replaceChildren(make("p", { className: "cells-note", textContent: this.words.empty }));
    else if (places.length !== tiles.children.length || places.some((place, n) => tiles.children[n] !== this.tile(place))) {
      tiles.replaceChildren(...places.map((place) => this.tile(place)));
    }
    return part;
  }

  tile(place) {
    let tile = this.tiles.get(place);
    if (!tile) this.tiles.set(place, (tile = this.#made(place)));
    return tile;
  }

  #made(place) {
    const thumb = make("span", { className: "cell-thumb" });
    const { sheet, sheets } = this.manifest.streams.find(({ key }) => key === this.cells.stream[place]);
    const [number, on] = [Math.floor(this.cells.sheetPlaces[place] / sheet.across ** 2), this.cells.sheetPlaces[place] % sheet.across ** 2];
    const share = (step) => `${(100 * step) / (sheet.across - 1)}%`;
    thumb.style.backgroundImage = `url("${sheets.replace(/0\.jpg$/, `${number}.jpg`)}")`;
    thumb.style.backgroundSize = `${100 * sheet.across}%`;
    thumb.style.backgroundPosition = `${share(on % sheet.across)} ${share(Math.floor(on / sheet.across))}`;
    const foot = make("span", { className: "tile-foot" }, make("span", { className: "tile-name" }), make("span"), make("span"), make("span", { className: "visually-hidden" }));
    const tile = make("div", { className: "tile", tabIndex: -1 }, thumb, foot);
    tile.setAttribute("role", "option");
    tile.setAttribute("aria-selected", "false");
    tile.dataset.place = place;
    tile.dataset.cell = this.cells.columns.number[place];
    this.refresh(place, tile);
    return tile;
  }

  // What a tile says of its cell, as it is now.
  refresh(place, tile = this.tiles.get(place)) {
    if (!tile) return;
    const { columns } = this.cells;
    const [number, state, mark] = [columns.number[place], this.cells.state(place), this.cells.legend.classes[columns.class[place]]];
    const [name, sure] = [mark?.name ?? "", columns.confidence[place] < 0 ? "" : `${columns.confidence[place]} %`];
    const [title, left, right, more] = tile.lastChild.children;
    title.textContent = name;
    left.textContent = number;
    right.textContent = state && state !== "needs_review" ? SIGNS[state] : `${sure} ${SIGNS[state] ?? ""}`;
    tile.classList.toggle("open", this.cells.isOpen(place));
    const told = [state && this.words[state], tile.firstChild.classList.contains("doubtful") && this.words.not_reliable].filter(Boolean);
    more.textContent = told.map((one) => `, ${one}`).join("");
    tile.title = [name, sure, ...told].filter(Boolean).join(", ");
  }

  choose(chosen) {
    for (const [place, tile] of this.tiles) tile.setAttribute("aria-selected", String(chosen.has(place)));
  }

  saving(places, on) {
    for (const place of places) this.tile(place).classList.toggle("saving", on);
  }

  take(place, focus) {
    if (this.inHand) this.inHand.tabIndex = -1;
    this.inHand?.classList.remove("in-hand");
    this.inHand = place < 0 ? null : this.tile(place);
    if (!this.inHand) return;
    this.inHand.tabIndex = 0;
    this.inHand.classList.add("in-hand");
    if (focus) this.inHand.focus({ preventScroll: true });
    this.inHand.scrollIntoView({ block: "nearest" });
  }

  // The cell that lies so many columns and rows from another on the screen, across sections; itself at the end.
  next(place, right, down) {
    const at = this.flat.indexOf(place);
    if (at < 0) return this.flat[0] ?? -1;
    if (right) return this.flat[Math.min(Math.max(at + right, 0), this.flat.length - 1)];
    const from = this.tile(place).getBoundingClientRect();
    const step = Math.sign(down);
    let found = place;
    let row = null;
    for (let n = at + step; n >= 0 && n < this.flat.length; n += step) {
      const box = this.tile(this.flat[n]).getBoundingClientRect();
      if ((box.top - from.top) * step < from.height / 2) continue;
      row ??= box.top;
      if (Math.abs(box.top - row) > 1) break;
      if (found === place || Math.abs(box.left - from.left) < Math.abs(this.tile(found).getBoundingClientRect().left - from.left)) found = this.flat[n];
    }
    return found;
  }

  // The first cell of the section after (or before) that of a cell.
  nextSection(place, step) {
    const parts = [...this.root.querySelectorAll(".cell-section:has(.tile)")];
    const at = parts.findIndex((part) => part.contains(this.tiles.get(place) ?? null));
    const part = parts[Math.min(Math.max(at + step, 0), parts.length - 1)];
    return part ? Number(part.querySelector(".tile").dataset.place) : -1;
  }

  heat(on) {
    this.heatOn = on;
    for (const [place, tile] of this.tiles) this.#heat(place, tile, on);
  }

  // A map that is not reliable for its cell lies paler on it, with a mark, and its tile says so.
  #heat(place, tile, on) {
    const [thumb, heat] = [tile.firstChild, this.cells.columns.heat[place]];
    const map = thumb.querySelector(".heat");
    if (!on) map?.remove();
    else if (!map && heat) {
      const src = this.manifest.heat.replace(/\/0\//, `/${this.cells.columns.number[place]}/`);
      thumb.append(make("img", { className: "heat", alt: "", loading: "lazy", src }));
    }
    const doubtful = on && heat === NOT_RELIABLE;
    if (thumb.classList.contains("doubtful") === doubtful) return;
    thumb.classList.toggle("doubtful", doubtful);
    this.refresh(place, tile);
  }

  #rest(event) {
    const tile = event.target.closest(".tile");
    if (!tile || event.pointerType !== "mouse" || this.heatOn || tile === this.resting) return;
    this.#leave();
    this.resting = tile;
    this.timer = setTimeout(() => this.#heat(Number(tile.dataset.place), tile, true), HEAT_AFTER_MS);
  }

  #leave() {
    clearTimeout(this.timer);
    if (this.resting && !this.heatOn) this.#heat(Number(this.resting.dataset.place), this.resting, false);
    this.resting = null;
  }
}
