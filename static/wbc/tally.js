// The tally at the microscope: one key per class, undo, running shares with their exact intervals.

const form = document.getElementById("tally");
const element = (id) => document.getElementById(id);
const rows = [...form.querySelectorAll("[data-class]")];
const taken = [];
let saving = false;
let audio = null;

const target = () => Number(form.elements.target.value);
const count = (row) => Number(row.querySelector(".tally-count").value);
const isBeside = (row) => "beside" in row.dataset;
const total = () => rows.reduce((sum, row) => sum + (isBeside(row) ? 0 : count(row)), 0);

// The binomial probability of at most `k` of `n`, summed in logarithms.
function atMost(k, n, p) {
  if (p <= 0) return 1;
  if (p >= 1) return k >= n ? 1 : 0;
  let term = n * Math.log1p(-p);
  let sum = Math.exp(term);
  for (let i = 1; i <= k; i += 1) {
    term += Math.log((n - i + 1) / i) + Math.log(p) - Math.log1p(-p);
    sum += Math.exp(term);
  }
  return sum;
}

// Where a falling function of p passes a level, by halving.
function crossing(falling, level) {
  let low = 0;
  let high = 1;
  for (let i = 0; i < 50; i += 1) {
    const middle = (low + high) / 2;
    if (falling(middle) > level) low = middle;
    else high = middle;
  }
  return 100 * low;
}

// Clopper and Pearson, as pipeline/aggregation.py has it.
function interval(k, n) {
  const low = k ? crossing((p) => atMost(k - 1, n, p), 0.975) : 0;
  const high = k < n ? crossing((p) => atMost(k, n, p), 0.025) : 100;
  return [low, high];
}

function beep(hertz, seconds) {
  if (!element("tally-sound").checked) return;
  audio ??= new AudioContext();
  const tone = audio.createOscillator();
  const volume = audio.createGain();
  volume.gain.value = 0.08;
  tone.frequency.value = hertz;
  tone.connect(volume).connect(audio.destination);
  tone.start();
  tone.stop(audio.currentTime + seconds);
}

function say(words) {
  element("tally-said").textContent = words;
}

function showRow(row, n) {
  const k = count(row);
  const share = n ? (100 * k) / n : 0;
  const [low, high] = n && !isBeside(row) ? interval(k, n) : [0, 0];
  const beside = isBeside(row);
  const per100 = row.dataset.class === "erythroblast";
  row.querySelector(".tally-share").textContent = !n || (beside && !per100) ? "–" : share.toFixed(1);
  row.querySelector(".tally-interval").textContent = !n || beside ? "–" : `${low.toFixed(1)}–${high.toFixed(1)}`;
  row.querySelector(".bar-fill").setAttribute("width", beside ? 0 : share.toFixed(2));
}

function show() {
  const n = total();
  rows.forEach((row) => showRow(row, n));
  element("tally-n").textContent = n;
  element("tally-target").textContent = target();
  Object.assign(element("tally-bar"), { max: target(), value: n });
  form.classList.toggle("whole", n >= target());
  element("tally-undo").disabled = !taken.length;
  element("tally-save").disabled = n === 0;
}

function change(row, by) {
  row.querySelector(".tally-count").value = count(row) + by;
  show();
}

function tally(row) {
  if (!isBeside(row) && total() >= target()) {
    say(form.dataset.full);
    beep(220, 0.2);
    return;
  }
  taken.push(row);
  change(row, 1);
  if (!isBeside(row) && total() >= target()) {
    say(form.dataset.whole);
    beep(660, 0.6);
    element("tally-save").focus();
    return;
  }
  say(`${row.querySelector(".tally-key").textContent.trim().slice(1).trim()} ${count(row)}`);
  beep(440 + 40 * rows.indexOf(row), 0.05);
}

function undo() {
  const row = taken.pop();
  if (!row) return;
  change(row, -1);
  say(form.dataset.undone);
}

function press(key) {
  if (key === "u" || key === "Backspace") undo();
  else if (key === "s") element("tally-sound").click();
  else {
    const button = form.querySelector(`[data-key="${CSS.escape(key)}"]`);
    if (!button) return false;
    tally(button.closest("[data-class]"));
  }
  return true;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.matches("textarea")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (press(key)) event.preventDefault();
});
rows.forEach((row) => row.querySelector(".tally-key").addEventListener("click", () => tally(row)));
element("tally-undo").addEventListener("click", undo);
// A longer count goes on from a shorter one; a shorter one cannot hold more cells than its end.
form.elements.target.forEach((choice) => choice.addEventListener("change", () => {
  if (total() > target()) form.elements.target.value = "200";
  say("");
  show();
}));
form.addEventListener("submit", () => { saving = true; });
window.addEventListener("beforeunload", (event) => {
  if (taken.length && !saving) event.preventDefault();
});
// Typed numbers could not be undone; they are for a browser without scripts.
rows.forEach((row) => { row.querySelector(".tally-count").readOnly = true; });
show();
