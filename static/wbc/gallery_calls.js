// Calling cells on the server, one request after another, and the steps that can be undone. A step knows of each
// cell the ids of the words that stood before and after it; undoing says the earlier word anew, so that its id changes.
// A second pathologist's call leaves the first one standing: it can be taken back, not done again.

export class Refusal extends Error {}

export function isMoved({ before, after, second }) {
  return before !== after || second;
}

export class Calls {
  constructor(manifest, { words, changed }) {
    Object.assign(this, { manifest, words, changed });
    this.key = `wbc-gallery-steps-${manifest.id}-${manifest.reader}`;
    this.last = Promise.resolve();
    this.waiting = 0;
    ({ done: this.done, undone: this.undone } = JSON.parse(sessionStorage.getItem(this.key)) ?? { done: [], undone: [] });
  }

  // Each of `wanted` is {number, seen, label}. Resolves with what became of them, in the words of the server.
  decide(wanted) {
    return this.#inTurn(async () => {
      const outcome = await this.#post(this.manifest.decide, wanted());
      const moved = outcome.changed.filter(isMoved);
      if (moved.length) {
        this.done.push(moved);
        this.undone = [];
      }
      return outcome;
    });
  }

  // `begun` is told which cells it is about, once it is their turn.
  undo(begun) {
    return this.#move("done", "undone", begun, (cell) => ({ seen: cell.after, back_to: cell.before }));
  }

  redo(begun) {
    return this.#move("undone", "done", begun, (cell) => ({ seen: cell.before, back_to: cell.after }));
  }

  // Reads from the server what no call under way can make stale.
  between(read) {
    const mine = this.last.then(read);
    this.last = mine.catch(() => {});
    return mine;
  }

  // The newest step of one pile goes onto the other; cells that were refused drop out of it. Null without a step.
  #move(from, to, begun, ask) {
    return this.#inTurn(async () => {
      const step = this[from].at(-1);
      if (!step) return null;
      begun(step);
      const outcome = await this.#post(this.manifest.putBack, step.map((cell) => ({ number: cell.number, ...ask(cell) })));
      this[from].pop();
      const now = new Map(outcome.changed.filter(({ second }) => !second).map(({ number, after }) => [number, after]));
      const kept = step.filter(({ number }) => now.has(number));
      if (kept.length) this[to].push(kept);
      for (const cell of kept) this.#rename(cell.number, ask(cell).back_to, now.get(cell.number));
      return outcome;
    });
  }

  #rename(number, old, id) {
    if (old === null) return;
    for (const cell of [...this.done, ...this.undone].flat()) {
      if (cell.number !== number) continue;
      if (cell.before === old) cell.before = id;
      if (cell.after === old) cell.after = id;
    }
  }

  #inTurn(act) {
    this.waiting += 1;
    this.changed();
    const mine = this.last.then(act).finally(() => {
      this.waiting -= 1;
      sessionStorage.setItem(this.key, JSON.stringify({ done: this.done, undone: this.undone }));
      this.changed();
    });
    this.last = mine.catch(() => {});
    return mine;
  }

  async #post(address, cells) {
    const headers = { "Content-Type": "application/json", Accept: "application/json", ...JSON.parse(document.body.getAttribute("hx-headers")) };
    const answer = await fetch(address, { method: "POST", headers, body: JSON.stringify({ cells }) }).catch(() => {
      throw new Refusal(this.words.offline);
    });
    const said = await answer.json().catch(() => null);
    if (!answer.ok || !said) throw new Refusal(said?.error?.message ?? this.words.failed);
    return said;
  }
}
