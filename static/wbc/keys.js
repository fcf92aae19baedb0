// The keys of a page: `?` opens the sheet that lists them. data-hotkey names the key of a link, a button or a field;
// j and k go through the links of a list marked data-rows.

const sheet = document.getElementById("keys");
const opener = document.getElementById("keys-open");
const act = document.getElementById("keys-on");
const OFF = "wbc-keys-off";
const FIELDS = "textarea, select, [contenteditable], input:not([type=checkbox], [type=radio], [type=range])";

function isPlain(event) {
  return !(event.ctrlKey || event.metaKey || event.altKey || event.isComposing);
}

// Before any other script of the page hears a key: none acts behind an open dialog, or where single keys are off.
window.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]")) {
    if (event.key === "?" && sheet.open) sheet.close();
    event.stopPropagation();
  } else if (!act.checked && event.key.length === 1 && event.key !== " ") event.stopPropagation();
}, true);

document.addEventListener("keydown", (event) => {
  if (!isPlain(event) || event.target.matches(FIELDS)) return;
  if (event.key === "?") sheet.showModal();
  else if (!press(event.key) && !step({ j: 1, k: -1 }[event.key])) return;
  event.preventDefault();
});

function press(key) {
  const wanted = document.querySelector(`[data-hotkey="${CSS.escape(key)}"]`);
  if (!wanted) return false;
  if (!wanted.matches(FIELDS)) wanted.click();
  else {
    wanted.closest("details")?.setAttribute("open", "");
    wanted.focus();
  }
  return true;
}

function step(way) {
  const links = way ? [...document.querySelectorAll("[data-rows] [data-row]")] : [];
  if (!links.length) return false;
  const at = links.indexOf(document.activeElement);
  const next = at < 0 ? (way > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + way, 0), links.length - 1);
  links[next].focus();
  return true;
}

act.checked = localStorage.getItem(OFF) === null;
act.addEventListener("change", () => {
  if (act.checked) localStorage.removeItem(OFF);
  else localStorage.setItem(OFF, "yes");
});
opener.hidden = false;
opener.addEventListener("click", () => sheet.showModal());
