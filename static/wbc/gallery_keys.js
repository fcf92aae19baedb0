// The keys of the gallery. A class's own key calls cells so; letters with Ctrl and all others stand in tables.

export function listen({ ready, moves, move, classOf, call, keys, withControl }) {
  function act(event) {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.ctrlKey || event.metaKey) {
      withControl[key]?.(event.shiftKey);
      return key in withControl;
    }
    if (key in moves) move(moves[key], event.shiftKey);
    else if (classOf(key)) call(classOf(key));
    else if (key in keys) keys[key]();
    else return false;
    return true;
  }

  document.addEventListener("keydown", (event) => {
    const { target, key } = event;
    if (!ready() || event.altKey || target.closest("textarea, select")) return;
    if (target.matches("input") && key in moves) return;
    if ((key === "Enter" || key === " ") && target.closest("a, button, summary")) return;
    if (event.repeat && !(key in moves)) return;
    if (act(event)) event.preventDefault();
  });
}
