// The gallery's page: what is shown and chosen, calls by key, button and drag, undo and redo.

import "./heat.js";
import { Calls, isMoved } from "./gallery_calls.js";
import { Cells, UNIDENTIFIED } from "./gallery_cells.js";
import { classRow, sectionFacts } from "./gallery_classes.js";
import { Drag } from "./gallery_drag.js";
import { Grid, make } from "./gallery_grid.js";
import { listen } from "./gallery_keys.js";
import { Place } from "./gallery_place.js";

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const [manifest, legend, words] = [read("gallery-manifest"), read("gallery-legend"), read("gallery-words")];
const part = (id) => document.getElementById(id);
const address = new URL(location.href);
const KEPT = "wbc-gallery-view";
const kept = { order: "unsure", size: 96, pairs: {}, ...JSON.parse(localStorage.getItem(KEPT)) };
const view = { stream: "", waiting: false, reason: "", compare: false, several: false, inHand: -1, anchor: -1, chosen: new Set() };
const marks = new Map(legend.classes.map((mark) => [mark.key, mark]));
const place = new Place(manifest);
const calls = manifest.mayDecide ? new Calls(manifest, { words, changed: showSteps }) : null;
let cells = null;
let grid = null;
let drag = null;
let tag = "";

const fill = (text, values) => Object.entries(values).reduce((said, [name, value]) => said.replace(`%(${name})s`, value), text);
const stream = () => manifest.streams.find(({ key }) => key === view.stream);
const nameOf = (key) => (key === UNIDENTIFIED ? words.unidentified : marks.get(key)?.name ?? key);
const acting = () => (view.chosen.size ? grid.flat.filter((one) => view.chosen.has(one)) : [view.inHand].filter((one) => one >= 0));

function say(text) {
  part("said").textContent = text;
}

function keep() {
  localStorage.setItem(KEPT, JSON.stringify(kept));
}

function press(id, on) {
  part(id).setAttribute("aria-pressed", String(on));
}

// --- loading ---------------------------------------------------------------------------------------
async function fetched() {
  const answer = await fetch(manifest.cells, { headers: tag ? { "If-None-Match": tag } : {} });
  if (answer.status === 304) return null;
  if (!answer.ok || answer.redirected) throw new Error(words.load_failed);
  tag = answer.headers.get("ETag");
  return answer.json();
}

async function begin() {
  const columns = await fetched();
  cells = new Cells(columns, legend, manifest.streams);
  grid = new Grid(part("cells"), cells, { manifest, words });
  if (calls) drag = new Drag(part("cells"), { pick, count: () => chosenText(acting()), drop: callAs });
  const asked = cells.places.get(Number(part("gallery").dataset.cell || NaN)) ?? -1;
  const wanted = asked < 0 ? address.searchParams.get("stream") : cells.stream[asked];
  const filled = manifest.streams.filter(({ key }) => cells.inStream(key));
  const first = manifest.streams.find(({ key }) => key === wanted) ?? filled[0] ?? manifest.streams[0];
  showStreams();
  showReasons();
  show(first.key, { inHand: asked, focus: asked >= 0 });
  part("cells").setAttribute("aria-busy", "false");
  const section = asked < 0 && address.searchParams.get("class");
  if (section) jump(section);
  part("gallery").dataset.ready = "yes";
}

// The same cells with what people said of them meanwhile; calls under way end first, and others begin after it.
function reload() {
  return calls ? calls.between(refetch) : refetch();
}

async function refetch() {
  const columns = await fetched().catch(() => null);
  if (!columns) return;
  cells.columns = columns;
  for (const one of grid.tiles.keys()) grid.refresh(one);
  arrange();
  place.refresh();
}

function start() {
  begin().catch((error) => {
    const again = make("button", { type: "button", className: "btn btn-outline-secondary", textContent: "↻", onclick: () => location.reload() });
    part("cells").replaceChildren(make("p", { className: "cells-note", role: "alert", textContent: error.message || words.load_failed }), again);
    part("cells").setAttribute("aria-busy", "false");
  });
}

// --- what is shown -----------------------------------------------------------------------------------
function showStreams() {
  part("streams").replaceChildren(...manifest.streams.map(({ key, name }, n) => {
    const button = make("button", { type: "button", className: "tool", onclick: () => show(key) });
    button.append(make("kbd", { textContent: n + 1 }), ` ${name} `, make("span", { className: "tabular soft", textContent: cells.inStream(key).toLocaleString() }));
    button.dataset.stream = key;
    return button;
  }));
}

// The reasons to choose from; one that was asked for may have no cell.
function showReasons() {
  const wanted = address.searchParams.get("reason");
  const known = new Set(cells.reasons());
  const options = legend.reasons.filter((reason) => known.has(reason) || reason.key === wanted);
  part("reason").append(...options.map(({ key, name }) => new Option(name, key)));
  part("reason").value = view.reason = options.some(({ key }) => key === wanted) ? wanted : "";
  part("reasons").hidden = !options.length;
}

// The page opens without the focus on a cell that nobody asked for, so that the first Tab skips to its content.
function show(key, { inHand = -1, focus = true } = {}) {
  view.stream = key;
  view.chosen.clear();
  for (const button of part("streams").children) button.setAttribute("aria-pressed", String(button.dataset.stream === key));
  address.searchParams.set("stream", key);
  for (const asked of ["class", "cell"]) address.searchParams.delete(asked);
  history.replaceState(null, "", address);
  fillCompared();
  arrange();
  take(inHand < 0 ? grid.flat[0] ?? -1 : inHand, { focus });
}

function shownKeys(found) {
  if (view.compare) return [part("left").value, part("right").value];
  const known = stream().choices.toSorted((one, other) => one.usual - other.usual).map(({ key }) => key);
  return [UNIDENTIFIED, ...known, ...[...found.keys()].filter((key) => key !== UNIDENTIFIED && !known.includes(key))].filter((key) => found.has(key));
}

// Every cell into the section that it stands in now.
function arrange() {
  const found = cells.sections(view.stream, kept.order, { openOnly: view.waiting, reason: view.reason });
  const counts = cells.counts(view.stream);
  part("cells").classList.toggle("compared", view.compare);
  const keys = shownKeys(found);
  if (keys.length) grid.render(keys.map((key) => sectionOf(key, found.get(key) ?? [], counts.get(key))));
  else grid.note(view.waiting ? words.none_open : view.reason ? words.none_reason : words.none);
  grid.choose(view.chosen);
  grid.heat(grid.heatOn);
  if (!grid.flat.includes(view.inHand)) view.inHand = grid.flat[0] ?? -1;
  grid.take(view.inHand, false);
  showClasses(counts);
  showHand();
}

function sectionOf(key, places, count) {
  const drop = stream().choices.some((choice) => choice.key === key);
  const note = key === UNIDENTIFIED ? words.unidentified_note : "";
  return { key, name: nameOf(key), mark: marks.get(key), places, facts: sectionFacts(cells, places, note ? null : count, words), drop, note };
}

function showClasses(counts) {
  const acts = { call: calls && callAs, jump };
  part("classes").replaceChildren(...stream().choices.map((choice) => classRow(choice, marks.get(choice.key), counts.get(choice.key), { words, ...acts })));
}

function chosenText(places) {
  return places.length === 1 ? fill(words.one, { number: cells.columns.number[places[0]] }) : fill(words.many, { n: places.length.toLocaleString() });
}

function showHand() {
  const chosen = view.chosen.size;
  const inHand = view.inHand < 0 ? words.no_cell : fill(words.in_hand, { number: cells.columns.number[view.inHand] });
  part("hand").textContent = chosen ? fill(words.chosen, { n: chosen.toLocaleString() }) : inHand;
  place.show(cells, view.inHand, view.chosen);
}

function showSteps() {
  part("tool-undo").disabled = !calls.done.length;
  part("tool-redo").disabled = !calls.undone.length;
  part("gallery").classList.toggle("busy", calls.waiting > 0);
  if (calls.waiting) say(words.saving);
}

// --- choosing ----------------------------------------------------------------------------------------
function take(one, { extend = false, focus = true } = {}) {
  if (extend) reach(one);
  else view.anchor = one;
  view.inHand = one;
  grid.take(one, focus);
  showHand();
}

// All cells between the anchor and another, on the screen.
function reach(one) {
  const ends = [grid.flat.indexOf(view.anchor), grid.flat.indexOf(one)].sort((a, b) => a - b);
  view.chosen = new Set(grid.flat.slice(Math.max(ends[0], 0), ends[1] + 1));
  grid.choose(view.chosen);
}

function toggle(one) {
  if (!view.chosen.delete(one)) view.chosen.add(one);
  grid.choose(view.chosen);
  showHand();
}

function chooseNone() {
  view.chosen.clear();
  grid.choose(view.chosen);
  showHand();
}

function chooseClass(key = view.inHand < 0 ? "" : cells.section(view.inHand)) {
  for (const one of grid.flat) if (cells.section(one) === key) view.chosen.add(one);
  grid.choose(view.chosen);
  showHand();
}

function pick(tile) {
  const one = Number(tile.dataset.place);
  if (!view.chosen.has(one)) {
    if (!view.several && !drag.held) view.chosen.clear();
    view.chosen.add(one);
    grid.choose(view.chosen);
  }
  take(one);
}

function jump(key) {
  if (view.compare && ![part("left").value, part("right").value].includes(key)) return;
  const section = part("cells").querySelector(`[data-section="${CSS.escape(key)}"]`);
  const first = section?.querySelector(".tile");
  section?.scrollIntoView({ block: "start" });
  if (first) take(Number(first.dataset.place));
}

part("cells").addEventListener("click", (event) => {
  const all = event.target.closest("[data-choose]");
  if (all) chooseClass(all.dataset.choose);
  const tile = event.target.closest(".tile");
  if (!tile || drag?.dragged) return;
  const one = Number(tile.dataset.place);
  if (event.shiftKey) take(one, { extend: true });
  else if (event.ctrlKey || event.metaKey || view.several) {
    if (!view.chosen.size && !view.several && view.inHand >= 0) view.chosen.add(view.inHand);
    toggle(one);
    take(one);
  } else {
    view.chosen.clear();
    grid.choose(view.chosen);
    take(one);
  }
});

// --- calling -------------------------------------------------------------------------------------------
function callAs(label) {
  return call(acting(), () => label, (done) => fill(words.called, { n: done, name: nameOf(label) }));
}

function confirm() {
  const labelled = acting().filter((one) => cells.label(one));
  return call(labelled, (one) => cells.label(one), (done) => fill(words.confirmed_all, { n: done }));
}

async function call(places, labelOf, told) {
  if (!calls || !places.length) return;
  if (places.length > manifest.most) {
    say(fill(words.too_many, { most: manifest.most.toLocaleString(), n: places.length.toLocaleString() }));
    return;
  }
  const wanted = places.map((one) => ({ one, label: labelOf(one) }));
  const after = following(places);
  chooseNone();
  take(after);
  const asked = () => wanted.map(({ one, label }) => ({ number: cells.columns.number[one], seen: cells.columns.said[one] || null, label }));
  const outcome = await settle(places, calls.decide(asked));
  if (!outcome) return;
  const moved = outcome.changed.filter(isMoved);
  if (moved.length) say(told(chosenText(moved.map(({ number }) => cells.places.get(number)))));
  else say(outcome.unchanged.length ? "" : words.already);
}

// The cell that comes into hand when some are called: the one after the last of them that stays.
function following(places) {
  const gone = new Set(places);
  const last = Math.max(...places.map((one) => grid.flat.indexOf(one)));
  return grid.flat.slice(last + 1).find((one) => !gone.has(one)) ?? grid.flat.slice(0, last).findLast((one) => !gone.has(one)) ?? places[0];
}

// Waits for the server: what it did is shown, what it refused is said and stays chosen.
async function settle(places, asked) {
  grid.saving(places, true);
  try {
    const outcome = await asked;
    if (outcome) adopt(outcome);
    return outcome;
  } catch (error) {
    say("");
    refuse(error.message);
    for (const one of places) view.chosen.add(one);
    await reload();
    arrange();
    return null;
  } finally {
    grid.saving(places, false);
  }
}

function adopt({ changed, unchanged }) {
  for (const one of changed) grid.refresh(cells.adopt(one));
  arrange();
  place.refresh();
  if (!unchanged.length) return;
  const told = unchanged.map(({ number, why }) => `${fill(words.one, { number })}: ${why}`);
  refuse(fill(words.not_changed, { cells: told.join(" ") }));
  for (const { number } of unchanged) if (cells.places.has(number)) view.chosen.add(cells.places.get(number));
  reload();
}

function refuse(text) {
  part("refused").hidden = !text;
  part("refused").querySelector("span").textContent = text;
}

async function step(way) {
  if (!calls) return;
  const places = [];
  const begun = (step) => {
    places.push(...step.map(({ number }) => cells.places.get(number)));
    grid.saving(places, true);
  };
  const outcome = await settle(places, calls[way](begun));
  if (outcome === null) {
    if (!places.length) say(way === "undo" ? words.nothing_undo : words.nothing_redo);
    return;
  }
  const back = outcome.changed.map(({ number }) => cells.places.get(number));
  if (!back.length) return say("");
  say(fill(way === "undo" ? words.undone : words.redone, { n: chosenText(back) }));
  if (grid.flat.includes(back[0])) take(back[0]);
}

// --- tools ---------------------------------------------------------------------------------------------
function resize(side) {
  const slider = part("size");
  slider.value = side;
  kept.size = Number(slider.value);
  part("gallery").style.setProperty("--side", `${kept.size}px`);
  keep();
}

function fillCompared() {
  const keys = [UNIDENTIFIED, ...stream().choices.map(({ key }) => key)];
  const found = cells.counts(view.stream);
  const filled = keys.filter((key) => found.has(key));
  const [left, right] = kept.pairs[view.stream] ?? [filled[0] ?? keys[1], filled[1] ?? keys[2]];
  for (const [id, value] of [["left", left], ["right", right]]) {
    part(id).replaceChildren(...keys.map((key) => new Option(nameOf(key), key)));
    part(id).value = value;
  }
}

// The class of the cell in hand stands on the left, beside the one that it was last compared with.
function toggleCompare() {
  view.compare = !view.compare;
  if (view.compare && view.inHand >= 0) {
    const own = cells.section(view.inHand);
    if (own !== part("left").value && own !== part("right").value) part("left").value = own;
  }
  part("compared").hidden = !view.compare;
  press("tool-compare", view.compare);
  arrange();
}

function compareOther() {
  kept.pairs[view.stream] = [part("left").value, part("right").value];
  keep();
  arrange();
}

// Of a cell whose call is hidden no map is made either.
function toggleHeat() {
  grid.heat(!grid.heatOn);
  press("tool-heat", grid.heatOn);
  const lacks = grid.heatOn && view.inHand >= 0 && cells.label(view.inHand) && !cells.columns.heat[view.inHand];
  say(lacks ? fill(words.no_map, { number: cells.columns.number[view.inHand] }) : "");
}

const acts = {
  smaller: () => resize(kept.size - 16),
  larger: () => resize(kept.size + 16),
  waiting: () => { view.waiting = !view.waiting; press("tool-waiting", view.waiting); arrange(); },
  heat: toggleHeat,
  compare: toggleCompare,
  several: () => { view.several = !view.several; press("tool-several", view.several); },
  none: chooseNone,
  confirm,
  undo: () => step("undo"),
  redo: () => step("redo"),
  forget: () => refuse(""),
};
listen({
  ready: () => Boolean(grid),
  moves: {
    ArrowLeft: (one) => grid.next(one, -1, 0),
    ArrowRight: (one) => grid.next(one, 1, 0),
    ArrowUp: (one) => grid.next(one, 0, -1),
    ArrowDown: (one) => grid.next(one, 0, 1),
    PageUp: (one) => grid.nextSection(one, -1),
    PageDown: (one) => grid.nextSection(one, 1),
    Home: () => grid.flat[0] ?? -1,
    End: () => grid.flat.at(-1) ?? -1,
  },
  move: (to, extend) => take(to(view.inHand), { extend }),
  classOf: (key) => stream().choices.find((choice) => choice.press === key)?.key,
  call: callAs,
  keys: {
    "+": acts.larger, "=": acts.larger, "-": acts.smaller, h: acts.heat, w: acts.waiting, c: acts.compare,
    x: () => calls && acts.several(), u: acts.undo, Escape: () => { chooseNone(); refuse(""); }, Enter: confirm,
    " ": () => view.inHand >= 0 && toggle(view.inHand),
    ...Object.fromEntries(manifest.streams.map(({ key }, n) => [n + 1, () => show(key)])),
  },
  withControl: { z: (shift) => step(shift ? "redo" : "undo"), y: () => step("redo"), a: () => chooseClass() },
});

for (const button of document.querySelectorAll("[data-act]")) {
  button.addEventListener("click", () => {
    if (!grid) return;
    acts[button.dataset.act]();
  });
}
part("size").addEventListener("input", (event) => resize(event.target.value));
part("order").addEventListener("change", (event) => {
  kept.order = event.target.value;
  keep();
  arrange();
});
part("reason").addEventListener("change", (event) => {
  view.reason = event.target.value;
  if (view.reason) address.searchParams.set("reason", view.reason);
  else address.searchParams.delete("reason");
  history.replaceState(null, "", address);
  chooseNone();
  arrange();
});
for (const id of ["left", "right"]) part(id).addEventListener("change", compareOther);
// What a colleague did meanwhile is seen when one comes back to the page.
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && grid && reload());
part("order").value = kept.order;
resize(kept.size);
if (calls) showSteps();
start();
