// What somebody is typing stays: a thread that holds an unsent message is not replaced by a newer one.

document.addEventListener("htmx:beforeRequest", (event) => {
  const thread = event.detail.elt;
  if (!thread.matches(".thread")) return;
  const unsent = [...thread.querySelectorAll("textarea")].some((box) => box.value.trim() || box === document.activeElement);
  if (unsent) event.preventDefault();
});

// The address names the thread before htmx has loaded it: go there once it stands, as a link does.
document.addEventListener("htmx:afterSettle", (event) => {
  if (location.hash !== "#questions" || !event.detail.target.closest?.("#questions") || document.activeElement !== document.body) return;
  document.getElementById("questions").focus();
});
