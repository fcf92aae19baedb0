// One key per call: every button and link of the desk that carries data-key.

import "./heat.js";

const SHOWN = 70;

function typing(target) {
  return target.matches("textarea, select, input:not([type=range])");
}

function toggleHeat(desk) {
  const slider = desk.querySelector("[data-heat]");
  if (!slider) return;
  slider.value = Number(slider.value) ? 0 : SHOWN;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
}

function press(desk, key) {
  const wanted = desk.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (!wanted || wanted.matches(":disabled")) return false;
  wanted.click();
  return true;
}

function toggleSkip(desk) {
  const skip = desk.querySelector("#skip");
  if (!skip) return;
  skip.open = !skip.open;
  if (skip.open) skip.querySelector("input[type=radio]").focus();
}

document.addEventListener("keydown", (event) => {
  const desk = document.getElementById("desk");
  if (!desk || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (typing(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (key === "Enter" && event.target.closest("a, button, summary")) return;
  if (key.startsWith("Arrow") && event.target.matches("input")) return;
  if (key === "h") toggleHeat(desk);
  else if (key === "x") toggleSkip(desk);
  else if (key === "c") desk.querySelector("#comment")?.focus();
  else if (!press(desk, key)) return;
  event.preventDefault();
});
