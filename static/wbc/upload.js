// Handing smears in: a queue of files, how far each has come, and the server's verdict in words.

import { Sending } from "./sending.js";

const form = document.getElementById("upload");
const input = document.getElementById("upload-files");
const list = document.getElementById("upload-list");
const summary = document.getElementById("upload-summary");
const unfinished = document.getElementById("unfinished");
const template = document.getElementById("upload-row");
const texts = document.getElementById("upload-texts").dataset;

const AT_ONCE = 2;
const RATE_OVER_MS = 10000;
const BUSY = ["sending", "checking"];
const OPEN = ["waiting", ...BUSY, "paused", "interrupted"];
const TAGS = {
  sending: "tag-busy",
  checking: "tag-busy",
  accepted: "tag-good",
  refused: "tag-bad",
  interrupted: "tag-warn",
};
const jobs = [];

// --- the queue -----------------------------------------------------------------------------------
function add(files) {
  for (const file of files) {
    const job = jobs.find((known) => OPEN.includes(known.state) && same(known.file, file)) ?? enter(file);
    if (["paused", "interrupted"].includes(job.state)) goOn(job);
  }
  next();
}

function same(one, other) {
  return ["name", "size", "lastModified"].every((fact) => one[fact] === other[fact]);
}

function enter(file) {
  const row = template.content.firstElementChild.cloneNode(true);
  row.querySelector(".name").textContent = file.name;
  list.append(row);
  const job = { file, row, state: "waiting", seen: [] };
  job.sending = new Sending(file, form, {
    progress: (sentBytes) => progress(job, sentBytes),
    waiting: () => show(job, "sending", texts.reconnecting),
    failed: (refusal) => fail(job, refusal),
    arrived: () => finish(job),
  });
  for (const [name, act] of Object.entries({ pause, "go-on": goOn, discard })) {
    const button = row.querySelector(`.${name}`);
    button.setAttribute("aria-label", `${button.textContent}: ${file.name}`);
    button.addEventListener("click", () => act(job));
  }
  jobs.push(job);
  show(job, "waiting");
  return job;
}

function next() {
  const busy = jobs.filter((job) => BUSY.includes(job.state)).length;
  for (const job of jobs.filter((one) => one.state === "waiting").slice(0, Math.max(AT_ONCE - busy, 0))) {
    show(job, "sending");
    job.sending.start();
  }
  summarise();
}

function settle(job, state, text) {
  show(job, state, text);
  next();
}

// --- what a person does --------------------------------------------------------------------------
function pause(job) {
  job.sending.stop();
  settle(job, "paused", texts.kept);
  job.row.querySelector(".go-on").focus();
}

function goOn(job) {
  settle(job, "waiting");
  job.row.querySelector(".pause:not([hidden])")?.focus();
}

async function discard(job) {
  jobs.splice(jobs.indexOf(job), 1);
  job.row.remove();
  input.focus();
  next();
  await job.sending.discard();
}

// --- what the server says ------------------------------------------------------------------------
function progress(job, sentBytes) {
  const now = performance.now();
  job.seen = [...job.seen.filter(([at, bytes]) => now - at < RATE_OVER_MS && bytes <= sentBytes), [now, sentBytes]];
  if (job.state !== "sending") return;
  show(job, "sending", soFar(job, sentBytes));
  job.row.querySelector("progress").value = sentBytes / job.file.size;
  taken(job.sending.url);
}

async function finish(job) {
  show(job, "checking", texts.examining);
  job.row.querySelector("progress").removeAttribute("value");
  try {
    const { run } = await job.sending.finish();
    const link = job.row.querySelector("a");
    link.href = form.dataset.runUrl.replace(form.dataset.anyId, run.id);
    link.hidden = false;
    settle(job, "accepted", texts.queued);
    document.body.dispatchEvent(new CustomEvent("smears-changed"));
  } catch (refusal) {
    fail(job, refusal);
  }
}

function fail(job, refusal) {
  job.lost = refusal.lost;
  const known = refusal.lost ? texts.lost : { 401: texts.signedOut, 403: texts.forbidden }[refusal.status];
  const final = !known && !refusal.gone && !refusal.partly && refusal.message;
  settle(job, final ? "refused" : "interrupted", known ?? (refusal.message || texts.unclear));
}

// What is listed as unfinished and goes on here would stand on the page twice.
function taken(url) {
  for (const entry of unfinished.querySelectorAll("[data-url]")) {
    if (entry.dataset.url === url) entry.remove();
  }
  if (!unfinished.querySelector("li")) unfinished.replaceChildren();
}

// --- how it looks --------------------------------------------------------------------------------
function show(job, state, text = "") {
  job.state = state;
  const { row } = job;
  row.className = state;
  const tag = row.querySelector(".tag");
  tag.textContent = texts[state];
  tag.className = `tag ${TAGS[state] ?? ""}`;
  row.querySelector(".verdict span").textContent = text;
  row.querySelector(".pause").hidden = state !== "sending";
  row.querySelector(".go-on").hidden = !["paused", "interrupted"].includes(state);
  row.querySelector(".discard").hidden = !OPEN.includes(state) || state === "checking";
  const bar = row.querySelector("progress");
  bar.hidden = ["accepted", "refused"].includes(state);
  bar.setAttribute("aria-label", `${job.file.name}: ${texts[state]}`);
}

function soFar(job, sentBytes) {
  const facts = { sent: size(sentBytes), size: size(job.file.size) };
  const [[at, bytes], [now]] = [job.seen[0], job.seen.at(-1)];
  if (now - at < 1000 || sentBytes === bytes) return filled(texts.progress, facts);
  const seconds = ((job.file.size - sentBytes) / (sentBytes - bytes)) * ((now - at) / 1000);
  return filled(texts.progressLeft, { ...facts, left: duration(seconds) });
}

function size(bytes) {
  const units = ["kilobyte", "megabyte", "gigabyte"];
  const step = Math.min(Math.max(Math.floor(Math.log(bytes + 1) / Math.log(1024)) - 1, 0), 2);
  const digits = { maximumFractionDigits: 1, minimumFractionDigits: step ? 1 : 0 };
  const format = new Intl.NumberFormat(document.documentElement.lang, { style: "unit", unit: units[step], ...digits });
  return format.format(bytes / 1024 ** (step + 1));
}

function duration(seconds) {
  const hours = seconds >= 3600;
  const [unit, amount] = hours ? ["hour", seconds / 3600] : seconds < 60 ? ["second", seconds] : ["minute", seconds / 60];
  const style = { style: "unit", unit, unitDisplay: "long", maximumFractionDigits: hours ? 1 : 0 };
  return new Intl.NumberFormat(document.documentElement.lang, style).format(amount);
}

function filled(text, facts) {
  return text.replace(/%\((\w+)\)s/g, (_, name) => facts[name]);
}

function summarise() {
  const count = (...states) => jobs.filter((job) => states.includes(job.state)).length;
  const facts = { accepted: count("accepted"), refused: count("refused"), open: count(...OPEN) };
  summary.textContent = jobs.length ? filled(texts.summary, facts) : "";
}

// --- the page ------------------------------------------------------------------------------------
input.addEventListener("change", () => {
  add([...input.files]);
  input.value = "";
});

form.addEventListener("submit", (event) => event.preventDefault());

for (const kind of ["dragenter", "dragover"]) {
  form.addEventListener(kind, (event) => {
    event.preventDefault();
    form.classList.add("over");
  });
}
form.addEventListener("dragleave", (event) => {
  if (!form.contains(event.relatedTarget)) form.classList.remove("over");
});
form.addEventListener("drop", (event) => {
  event.preventDefault();
  form.classList.remove("over");
  add([...event.dataTransfer.files]);
});
// A file dropped beside the zone must not replace the page.
for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());

unfinished.addEventListener("htmx:afterSwap", () => {
  for (const job of jobs.filter((one) => one.sending.url)) taken(job.sending.url);
});

window.addEventListener("online", () => {
  for (const job of jobs.filter((one) => one.state === "interrupted" && one.lost)) goOn(job);
});

window.addEventListener("beforeunload", (event) => {
  if (jobs.some((job) => ["waiting", "sending"].includes(job.state))) event.preventDefault();
});
