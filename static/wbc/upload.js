// Handing smears in: a queue of files, a progress bar each, and the server's verdict in words.

const form = document.getElementById("upload");
const input = document.getElementById("upload-files");
const list = document.getElementById("upload-list");
const summary = document.getElementById("upload-summary");
const template = document.getElementById("upload-row");
const texts = document.getElementById("upload-texts").dataset;

const AT_ONCE = 2;
const RETRY_AFTER_MS = [1000, 3000, 8000];
const jobs = [];

function add(files) {
  for (const file of files) {
    const row = template.content.firstElementChild.cloneNode(true);
    row.querySelector(".name").textContent = file.name;
    list.append(row);
    const job = { file, row, state: "waiting", tries: 0 };
    row.querySelector("button").addEventListener("click", () => restart(job));
    jobs.push(job);
    if (file.size > Number(form.dataset.maxBytes)) settle(job, "refused", texts.tooLarge);
    else show(job, "waiting");
  }
  next();
}

function restart(job) {
  job.tries = 0;
  show(job, "waiting");
  next();
}

function next() {
  const busy = jobs.filter((job) => ["sending", "checking"].includes(job.state)).length;
  const waiting = jobs.filter((job) => job.state === "waiting" && !job.later);
  waiting.slice(0, AT_ONCE - busy).forEach(send);
  summarise();
}

function show(job, state, text = "") {
  job.state = state;
  const { row } = job;
  row.className = state;
  const tag = row.querySelector(".tag");
  tag.textContent = texts[state];
  tag.className = { accepted: "tag tag-good", refused: "tag tag-bad", interrupted: "tag tag-warn" }[state] ?? "tag";
  row.querySelector(".verdict span").textContent = text;
  row.querySelector("button").hidden = state !== "interrupted";
  const bar = row.querySelector("progress");
  bar.hidden = ["accepted", "refused", "interrupted"].includes(state);
  bar.setAttribute("aria-label", `${job.file.name}: ${texts[state]}`);
  if (state === "waiting") bar.value = 0;
}

function settle(job, state, text, address) {
  show(job, state, text);
  if (address) {
    const link = job.row.querySelector("a");
    link.href = address;
    link.hidden = false;
  }
  next();
}

function send(job) {
  show(job, "sending");
  const request = new XMLHttpRequest();
  const body = new FormData();
  body.append("file", job.file, job.file.name);
  request.open("POST", form.action);
  request.setRequestHeader("X-CSRFToken", form.elements.csrfmiddlewaretoken.value);
  request.setRequestHeader("Accept", "application/json");
  const bar = job.row.querySelector("progress");
  request.upload.addEventListener("progress", (event) => {
    if (event.lengthComputable) bar.value = event.loaded / event.total;
  });
  request.upload.addEventListener("load", () => {
    show(job, "checking");
    bar.removeAttribute("value");
  });
  request.addEventListener("load", () => judge(job, request));
  request.addEventListener("error", () => reconnect(job));
  request.send(body);
}

function judge(job, request) {
  const answer = parsed(request.responseText);
  if (answer && "accepted" in answer) {
    settle(job, answer.accepted ? "accepted" : "refused", answer.text, answer.run_url);
    if (answer.accepted) document.body.dispatchEvent(new CustomEvent("smears-changed"));
    return;
  }
  const signedOut = new URL(request.responseURL, location.href).pathname === document.body.dataset.loginUrl;
  const text = signedOut ? texts.signedOut : request.status === 403 ? texts.forbidden : texts.unclear;
  settle(job, "interrupted", text);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // A proxy's or an error page: `judge` words it.
  }
}

// The server notices a file that did arrive before the connection dropped, so sending again is safe.
function reconnect(job) {
  const pause = RETRY_AFTER_MS[job.tries];
  if (pause === undefined) {
    settle(job, "interrupted", texts.lost);
    return;
  }
  job.tries += 1;
  job.later = true;
  show(job, "waiting", texts.reconnecting);
  setTimeout(() => {
    job.later = false;
    next();
  }, pause);
}

function summarise() {
  const count = (...states) => jobs.filter((job) => states.includes(job.state)).length;
  const facts = {
    accepted: count("accepted"),
    refused: count("refused", "interrupted"),
    open: count("waiting", "sending", "checking"),
  };
  summary.textContent = jobs.length ? texts.summary.replace(/%\((\w+)\)s/g, (_, name) => facts[name]) : "";
}

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

window.addEventListener("beforeunload", (event) => {
  if (jobs.some((job) => ["waiting", "sending", "checking"].includes(job.state))) event.preventDefault();
});
