// Dragging cells onto a class by mouse, pen or finger. A finger scrolls unless it rested on a cell first.

const AWAY_PX = 6;
const HOLD_MS = 400;

export class Drag {
  // `tell` has pick(tile) for a tile that is held or dragged off, count(), and drop(label).
  constructor(root, tell) {
    Object.assign(this, { root, tell, active: false });
    root.addEventListener("pointerdown", (event) => this.#down(event));
    root.addEventListener("dragstart", (event) => event.preventDefault());
    root.addEventListener("contextmenu", (event) => this.held && event.preventDefault());
    // Only a listener that may prevent it keeps the page from scrolling under a finger that drags.
    root.addEventListener("touchmove", (event) => this.active && event.preventDefault(), { passive: false });
  }

  #down(event) {
    const tile = event.target.closest(".tile");
    if (!tile || event.button !== 0) return;
    const start = { x: event.clientX, y: event.clientY };
    const over = new AbortController();
    const { signal } = over;
    const touch = event.pointerType === "touch";
    this.held = false;
    const begin = () => {
      this.tell.pick(tile);
      this.active = true;
      this.#show();
    };
    const timer = touch ? setTimeout(() => { this.held = true; begin(); }, HOLD_MS) : 0;
    const end = () => {
      clearTimeout(timer);
      over.abort();
      this.#hide();
    };
    window.addEventListener("pointermove", (moved) => {
      const away = Math.hypot(moved.clientX - start.x, moved.clientY - start.y) > AWAY_PX;
      if (!this.active && away && touch) end();
      else if (!this.active && away) begin();
      if (this.active) this.#move(moved);
    }, { signal });
    window.addEventListener("pointerup", (up) => {
      const label = this.active ? this.#under(up)?.dataset.drop : undefined;
      this.dragged = this.active;
      end();
      if (label) this.tell.drop(label);
      // The click that follows a drag is none.
      setTimeout(() => { this.dragged = this.held = false; });
    }, { signal });
    window.addEventListener("pointercancel", end, { signal });
    window.addEventListener("keydown", (key) => {
      if (key.key !== "Escape" || !this.active) return;
      key.stopImmediatePropagation();
      this.dragged = true;
      end();
    }, { signal, capture: true });
  }

  #under(event) {
    return document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-drop]");
  }

  #show() {
    document.body.classList.add("dragging");
    this.ghost = Object.assign(document.createElement("p"), { className: "drag-ghost", textContent: this.tell.count() });
    document.body.append(this.ghost);
  }

  #move(event) {
    this.ghost.style.transform = `translate(${event.clientX + 14}px, ${event.clientY + 14}px)`;
    const target = this.#under(event);
    if (target === this.target) return;
    this.target?.classList.remove("drop-here");
    target?.classList.add("drop-here");
    this.target = target;
  }

  #hide() {
    this.active = false;
    document.body.classList.remove("dragging");
    this.ghost?.remove();
    this.target?.classList.remove("drop-here");
    this.target = this.ghost = null;
  }
}
