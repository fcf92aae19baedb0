// What every page needs: the menu closes as menus do, and a request that fails says so.

const live = document.getElementById("live");

function say(text) {
  live.textContent = text;
  live.hidden = false;
}

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  const menu = document.querySelector("details.menu[open]");
  if (event.key !== "Escape" || !menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

document.addEventListener("htmx:sendError", () => say(live.dataset.offline));
document.addEventListener("htmx:timeout", () => say(live.dataset.offline));
document.addEventListener("htmx:responseError", () => say(live.dataset.failed));
document.addEventListener("htmx:afterOnLoad", () => {
  live.hidden = true;
});

// A session that ended answers with the login page: go there instead of swapping it into a panel.
document.addEventListener("htmx:beforeSwap", (event) => {
  const answered = new URL(event.detail.xhr.responseURL || location.href, location.href);
  if (answered.pathname !== document.body.dataset.loginUrl) return;
  event.detail.shouldSwap = false;
  location.reload();
});
