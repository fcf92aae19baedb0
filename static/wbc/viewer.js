// The viewer's page: one smear or two beside each other, filters, the card of a cell, keys.

import "./heat.js";
import { Filters } from "./viewer_filters.js";
import { FLAG } from "./viewer_cells.js";
import { Pane } from "./viewer_pane.js";

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const [manifest, legend, words] = [read("viewer-manifest"), read("viewer-legend"), read("viewer-words")];
const part = (id) => document.getElementById(id);
const page = part("viewer");
const panes = [];
const SEEN_AFTER_MS = 500;
let active = 0;
let together = false;

const looks = {
  codes: true,
  coverage: false,
  unseen: false,
  // Thousands of cells without a class need no code; their kind shows in the line.
  hasCode: (mark) => filters.byKind || legend.classes.includes(mark),
  markOf(cells, place) {
    const called = cells.columns.class[place];
    const kind = legend.kinds[cells.columns.kind[place]];
    return called < 0 || filters.byKind ? kind : legend.classes[called];
  },
};
const filters = new Filters(part("filters"), legend, { words, changed: refilter });
const tell = { picked: pick, hovered: hover, moved: onMoved, measured: (pane, length) => say(`${words.distance}: ${length}`) };

function say(text) {
  part("viewer-said").textContent = text;
}

// --- panes -----------------------------------------------------------------------------------------
function addPane(of) {
  const root = part("pane").content.firstElementChild.cloneNode(true);
  part("panes").append(root);
  root.querySelector(".pane-name").textContent = `${of.accession}, ${of.collected} · ${of.name}`;
  root.querySelector(".scale-source").textContent = of.pixelUm ? of.pixelSource : words.size_unknown;
  const picture = root.querySelector(".picture");
  picture.setAttribute("aria-label", `${of.name}. ${words.picture_keys}`);
  const pane = new Pane(root, of, { looks, tell, words });
  const number = panes.push(pane) - 1;
  for (const event of ["pointerdown", "focusin", "wheel"]) root.addEventListener(event, () => (active = number), { passive: true });
  return pane;
}

async function begin() {
  const first = addPane(manifest);
  await first.loaded;
  filters.fill(first.cells);
  refilter();
  const asked = first.cells.places.get(Number(page.dataset.cell || NaN));
  if (asked !== undefined) whenOpen(first, () => pick(first, asked, true));
  else if (page.dataset.cell) say(words.no_such_cell);
  if (page.dataset.partly) toggleCoverage();
  if (page.dataset.unseen) toggleUnseen();
  document.addEventListener("visibilitychange", look);
  whenOpen(first, look);
  const beside = part("beside");
  if (beside?.value) await putBeside(beside.value);
  page.dataset.ready = "yes";
}

function whenOpen(pane, act) {
  if (pane.viewer.world.getItemCount()) act();
  else pane.viewer.addOnceHandler("open", act);
}

async function putBeside(address) {
  panes[1]?.destroy();
  panes.length = 1;
  active = 0;
  page.classList.toggle("two", Boolean(address));
  part("together").closest("label").hidden = !address;
  remember();
  if (!address) return;
  const came = await fetch(address).catch(() => null);
  const manifest = came?.ok ? await came.json() : null;
  // Another smear may have been chosen meanwhile.
  if (!manifest || part("beside").value !== address) return;
  const pane = addPane(manifest);
  if (looks.coverage) pane.showCoverage();
  await pane.loaded;
  refilter();
  whenOpen(pane, () => matchScale(panes[0], pane));
}

// Both smears at the same µm per px of the screen, where both sizes are known.
function matchScale(from, to) {
  const [one, other] = [from.manifest.pixelUm, to.manifest.pixelUm];
  const wanted = from.view().scale * (one && other ? other / one : 1);
  to.viewer.viewport.zoomBy(wanted / to.view().scale, null, true);
}

// Moving the smear in hand moves the other by the same way over the glass.
function follow(pane) {
  const before = pane.last;
  pane.last = pane.view();
  const other = panes.find((each) => each !== pane);
  if (!together || !other || pane !== panes[active] || !before || !pane.last) return;
  const [one, second] = [pane.manifest.pixelUm, other.manifest.pixelUm];
  const ratio = (one && second ? one / second : 1) / other.manifest.width;
  const [from, to] = [middle(before), middle(pane.last)];
  const { viewport } = other.viewer;
  viewport.zoomBy(pane.last.scale / before.scale, null, true);
  viewport.panBy(new window.OpenSeadragon.Point((to.x - from.x) * ratio, (to.y - from.y) * ratio), true);
}

function middle({ left, right, top, bottom }) {
  return { x: (left + right) / 2, y: (top + bottom) / 2 };
}

// --- what has been looked at -----------------------------------------------------------------------
let settling = 0;

function onMoved(pane) {
  follow(pane);
  if (pane === panes[0]) look();
}

// Only a picture that stands still in full resolution, before somebody, has been looked at.
function look() {
  if (!page.dataset.seen) return;
  clearTimeout(settling);
  settling = setTimeout(() => {
    const view = document.hidden || panes[0].root.classList.contains("preparing") ? null : panes[0].view();
    if (!view) return;
    const { left, top, right, bottom, scale } = view;
    const width = Math.max(1, Math.round((right - left) * scale));
    showUnseen(new URLSearchParams({ x0: left, y0: top, x1: right, y1: bottom, width }));
  }, SEEN_AFTER_MS);
}

async function showUnseen(body) {
  const headers = JSON.parse(document.body.getAttribute("hx-headers"));
  const came = await fetch(page.dataset.seen, { method: "POST", headers, body }).catch(() => null);
  if (!came?.ok) {
    say(words.seen_failed);
    return;
  }
  panes[0].unseen = await came.json();
  part("unseen-share").textContent = words.not_seen.replace("%(share)s", Math.ceil(100 * panes[0].unseen.share));
  panes[0].draw();
}

function toggleUnseen() {
  if (!page.dataset.seen) return;
  looks.unseen = !looks.unseen;
  press("tool-unseen", looks.unseen);
  panes[0].draw();
}

// --- cells -----------------------------------------------------------------------------------------
function refilter() {
  for (const pane of panes) {
    pane.cells?.filter(filters.test(pane.cells));
    pane.draw();
  }
  const { cells } = panes[0];
  if (!cells) return;
  const text = words.shown.replace("%(shown)s", cells.shownCount.toLocaleString()).replace("%(all)s", cells.count.toLocaleString());
  part("shown-count").textContent = text;
}

function nameOf(pane, place) {
  const { class: called, kind, confidence, flags } = pane.cells.columns;
  const name = called[place] < 0 ? legend.kinds[kind[place]].name : legend.classes[called[place]].name;
  const sure = confidence[place] < 0 ? "" : ` ${confidence[place]} %`;
  const bits = flags[place];
  const state = bits & FLAG.corrected ? words.corrected : bits & FLAG.reviewed ? words.confirmed : bits & FLAG.needsReview ? words.needs_review : "";
  return `${name}${bits & FLAG.reviewed ? "" : sure}${state && ` · ${state}`}`;
}

function pick(pane, place, centred = false) {
  for (const each of panes) each.select(each === pane ? place : -1);
  if (centred) pane.centreOn(place);
  const number = pane.cells.columns.number[place];
  say(`${words.cell} ${number}: ${nameOf(pane, place)}`);
  if (pane === panes[0]) remember(number);
  window.htmx.ajax("GET", pane.manifest.panel.replace(/0\/$/, `${number}/`), "#cell-panel");
}

function remember(number) {
  const address = new URL(location.href);
  if (number) address.searchParams.set("cell", number);
  const chosen = part("beside")?.selectedOptions[0]?.dataset.run;
  if (chosen) address.searchParams.set("with", chosen);
  else address.searchParams.delete("with");
  history.replaceState(null, "", address);
}

function step(way) {
  const pane = panes[active];
  const place = pane.cells?.next(pane.selected, way) ?? -1;
  if (place >= 0) pick(pane, place, true);
  else say(words.none_shown);
}

function hover(pane, place, event) {
  const tip = pane.root.querySelector(".tip");
  tip.hidden = place < 0;
  pane.root.classList.toggle("over-cell", place >= 0);
  if (place < 0) return;
  const box = pane.root.getBoundingClientRect();
  tip.textContent = `${pane.cells.columns.number[place]} · ${nameOf(pane, place)}`;
  tip.style.left = `${Math.min(event.clientX - box.left + 14, box.width - tip.offsetWidth - 4)}px`;
  tip.style.top = `${Math.min(event.clientY - box.top + 16, box.height - tip.offsetHeight - 4)}px`;
}

// --- tools -----------------------------------------------------------------------------------------
function press(id, on) {
  part(id).setAttribute("aria-pressed", String(on));
}

function toggleFilters() {
  const hidden = page.classList.toggle("no-filters");
  press("tool-filters", !hidden);
  if (!hidden) part("filters").querySelector("input")?.focus();
}

function toggleMeasure() {
  const on = !panes[0].measuring;
  for (const pane of panes) pane.measure(on);
  press("tool-measure", on);
  page.classList.toggle("measures", on);
  if (on) say(words.measure_how);
}

function clearMeasures() {
  for (const pane of panes) pane.clearMeasures();
}

async function toggleCoverage() {
  looks.coverage = !looks.coverage;
  press("tool-coverage", looks.coverage);
  part("coverage-key").hidden = !looks.coverage;
  const [parts] = await Promise.all(panes.map((pane) => pane.showCoverage()));
  part("coverage-key").querySelector("[data-none]").hidden = parts.length > 0;
  for (const row of part("coverage-key").querySelectorAll("[data-state]")) {
    const found = parts.find(({ key }) => key === row.dataset.state);
    row.hidden = !found?.count;
    row.querySelector("output").textContent = found ? `${found.count.toLocaleString()} (${Math.round(100 * found.share)} %)` : "";
  }
  for (const pane of panes) pane.draw();
}

function toggleCodes() {
  looks.codes = !looks.codes;
  press("tool-codes", looks.codes);
  for (const pane of panes) pane.draw();
}

function isDark() {
  return document.documentElement.dataset.bsTheme === "dark";
}

function toggleDark() {
  document.querySelector(`.theme-choice [value=${isDark() ? "light" : "dark"}]`).click();
}

function escape() {
  if (panes[0].measuring) {
    if (panes.some((pane) => pane.start)) for (const pane of panes) pane.measure(true);
    else toggleMeasure();
  } else clearMeasures();
}

const acts = {
  closer: () => panes[active].closer(),
  farther: () => panes[active].farther(),
  whole: () => panes[active].whole(),
  next: () => step(1),
  previous: () => step(-1),
  filters: toggleFilters,
  measure: toggleMeasure,
  coverage: toggleCoverage,
  unseen: toggleUnseen,
  codes: toggleCodes,
  dark: toggleDark,
};
const keys = {
  "+": acts.closer, "=": acts.closer, "-": acts.farther, 0: acts.whole, n: acts.next, p: acts.previous, f: acts.filters,
  m: acts.measure, c: acts.coverage, s: acts.unseen, l: acts.codes, d: acts.dark, Escape: escape,
  ArrowLeft: () => panes[active].move(-1, 0), ArrowRight: () => panes[active].move(1, 0),
  ArrowUp: () => panes[active].move(0, -1), ArrowDown: () => panes[active].move(0, 1),
};

function typing(target) {
  return target.matches("textarea, select, input:not([type=checkbox])");
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (typing(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "Enter" && panes[0].measuring && event.target.closest(".pane, body") && !event.target.closest("button, a, input")) {
    panes[active].markCentre();
    event.preventDefault();
    return;
  }
  const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act || event.repeat && !event.key.startsWith("Arrow")) return;
  event.preventDefault();
  act();
});

for (const button of document.querySelectorAll("[data-act]")) button.addEventListener("click", acts[button.dataset.act]);
part("measure-clear").addEventListener("click", clearMeasures);
part("beside")?.addEventListener("change", (event) => putBeside(event.target.value));
part("together").addEventListener("change", (event) => {
  together = event.target.checked;
  for (const pane of panes) pane.last = pane.view();
});
const showTheme = () => press("tool-dark", isDark());
new MutationObserver(showTheme).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
showTheme();
if (matchMedia("(width < 64rem)").matches) {
  page.classList.add("no-filters");
  press("tool-filters", false);
}
begin().catch((error) => {
  const live = document.getElementById("live");
  live.textContent = error.message || words.cells_failed;
  live.hidden = false;
});
