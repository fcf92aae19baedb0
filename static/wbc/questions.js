// What somebody is typing stays: a thread that holds an unsent message is not replaced by a newer one.

function keep(event) {
  const thread = event.detail.requestConfig?.elt ?? event.detail.elt;
  if (!thread.matches(".thread")) return;
  const unsent = [...thread.querySelectorAll("textarea")].some((box) => box.value.trim() || box === document.activeElement);
  if (unsent) event.preventDefault();
}

// Before it is asked for, and once more when the answer is there: somebody may have begun to type meanwhile.
document.addEventListener("htmx:beforeRequest", keep);
document.addEventListener("htmx:beforeSwap", keep);

// The address names the thread before htmx has loaded it: go there once it stands, as a link does.
document.addEventListener("htmx:afterSettle", (event) => {
  if (location.hash !== "#questions" || !event.detail.target.closest?.("#questions") || document.activeElement !== document.body) return;
  document.getElementById("questions").focus();
});
