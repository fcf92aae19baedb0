// The list of classes: the key that calls cells so, the name that goes to its cells, how many are open and in all; and
// what the heading of a section says.

import { make, swatch } from "./gallery_grid.js";

// Cells can be dropped on a row. Without `call` the reader may only look: the row shows how the class is marked.
export function classRow({ key, press }, mark, count = { all: 0, open: 0 }, { words, call, jump }) {
  const name = make("button", { type: "button", className: "linklike class-name", textContent: mark.name, onclick: () => jump(key) });
  const open = make("span", { className: "class-open", textContent: count.open ? `${count.open.toLocaleString()}?` : "" });
  if (count.open) open.title = words.open.replace("%(n)s", count.open.toLocaleString());
  const all = make("span", { className: "tabular", textContent: count.all.toLocaleString() });
  const row = make("li", {}, call ? callButton(words.call_all.replace("%(name)s", mark.name), press, () => call(key)) : swatch(mark), name, open, all);
  row.dataset.drop = key;
  row.classList.toggle("soft", !count.all);
  return row;
}

function callButton(title, press, onclick) {
  const button = make("button", { type: "button", className: "call", title, onclick }, make("kbd", { textContent: press }));
  button.setAttribute("aria-label", title);
  return button;
}

// How many cells a section shows, how many of them are open, and how many more of the class are unidentified.
export function sectionFacts(cells, places, count, words) {
  const open = places.filter((place) => cells.isOpen(place)).length;
  const facts = [places.length.toLocaleString()];
  if (open) facts.push(words.open.replace("%(n)s", open.toLocaleString()));
  if (count?.unidentified) facts.push(words.also.replace("%(n)s", count.unidentified.toLocaleString()));
  return facts.join(" · ");
}
