// The filters, which are also the legend: kinds and classes with their marks and counts, state, flags, confidence.

import { FLAG } from "./viewer_cells.js";

const FLAG_BITS = { unlike_training: FLAG.unlikeTraining, abstained: FLAG.abstained };

export class Filters {
  constructor(form, legend, { words, changed }) {
    Object.assign(this, { form, legend, words });
    form.addEventListener("input", () => changed());
    form.addEventListener("reset", () => setTimeout(changed));
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  // The rows of the legend, from the classes that the smear has.
  fill(cells) {
    this.fillKinds(cells);
    this.fillClasses(cells);
    this.fillReasons(cells);
  }

  fillKinds(cells) {
    const counts = this.legend.kinds.map((_, kind) => cells.columns.kind.filter((one) => one === kind).length);
    const rows = this.legend.kinds.map((mark, kind) => checkRow({ name: "kind", value: kind, mark, count: counts[kind] }));
    this.form.querySelector("[data-rows=kinds]").replaceChildren(...rows);
  }

  fillClasses(cells) {
    const counts = new Map();
    for (const called of cells.columns.class) counts.set(called, (counts.get(called) ?? 0) + 1);
    const rows = this.legend.classes.flatMap((mark, value) =>
      counts.has(value) ? [checkRow({ name: "class", value, mark, count: counts.get(value) })] : [],
    );
    if (counts.has(-1)) rows.push(checkRow({ name: "class", value: -1, mark: { name: this.words.not_classified }, count: counts.get(-1) }));
    this.form.querySelector("[data-rows=classes]").replaceChildren(...rows);
  }

  fillReasons(cells) {
    let all = 0;
    for (const bits of cells.columns.reasons) all |= bits;
    const group = this.form.querySelector("[data-rows=reasons]");
    const options = this.legend.reasons.flatMap(({ name }, bit) => (all & (1 << bit) ? [new Option(name, `reason:${bit}`)] : []));
    group.replaceChildren(...options);
    group.hidden = !options.length;
  }

  get byKind() {
    return this.form.elements.colour.value === "kind";
  }

  // Whether a cell of some smear passes; a class that the first smear lacks is not held against the second.
  test(cells) {
    const said = this.said();
    const { kind, class: called, confidence, flags, reasons } = cells.columns;
    return (place) =>
      !said.kinds.has(kind[place]) &&
      !said.classes.has(called[place]) &&
      (said.anyConfidence || (confidence[place] >= said.least && confidence[place] <= said.most)) &&
      passesState(said.state, flags[place]) &&
      passesFlag(said.flag, flags[place], reasons[place]);
  }

  said() {
    const { elements } = this.form;
    const off = (name) => new Set([...this.form.querySelectorAll(`input[name=${name}]:not(:checked)`)].map((box) => Number(box.value)));
    const [least, most] = [Number(elements.least.value || 0), Number(elements.most.value || 100)];
    return {
      kinds: off("kind"),
      classes: off("class"),
      least,
      most,
      anyConfidence: least <= 0 && most >= 100,
      state: elements.state.value,
      flag: elements.flag.value,
    };
  }
}

function passesState(state, flags) {
  const open = (flags & (FLAG.needsReview | FLAG.reviewed)) === FLAG.needsReview;
  if (state === "open") return open;
  if (state === "reviewed") return Boolean(flags & FLAG.reviewed);
  if (state === "confirmed") return Boolean(flags & FLAG.reviewed) && !(flags & FLAG.corrected);
  if (state === "corrected") return Boolean(flags & FLAG.corrected);
  if (state === "unreviewed") return !(flags & FLAG.reviewed);
  return true;
}

function passesFlag(flag, flags, reasons) {
  if (flag.startsWith("reason:")) return Boolean(reasons & (1 << Number(flag.slice(7))));
  if (flag === "needs_review") return Boolean(flags & FLAG.needsReview);
  return flag in FLAG_BITS ? Boolean(flags & FLAG_BITS[flag]) : true;
}

function checkRow({ name, value, mark, count }) {
  const label = document.createElement("label");
  label.className = "legend-row";
  const box = Object.assign(document.createElement("input"), { type: "checkbox", name, value, defaultChecked: true });
  const title = Object.assign(document.createElement("span"), { className: "legend-name", textContent: mark.name });
  const number = Object.assign(document.createElement("span"), { className: "tabular soft", textContent: count.toLocaleString() });
  label.append(box, swatch(mark), title, number);
  return label;
}

function swatch(mark) {
  const sample = document.createElement("span");
  sample.className = "legend-mark";
  sample.textContent = mark.code ?? "";
  if (mark.colour) {
    sample.style.borderColor = mark.colour;
    sample.style.borderStyle = mark.line;
  } else sample.classList.add("legend-none");
  return sample;
}
