// The last act on the desk, which can be taken back for ten seconds. A mute acts at once, and undoing it is a second act.
// A warning and a redaction cannot be taken back once they are made, so they are sent when the ten seconds are over, or
// when the page is left.

import { make } from "../chat/dom.js";

const UNDO_SECONDS = 10;

/** Shows what was done, with a button to undo it. Only the last act can be undone: a new one makes the one before final. */
export class Pending {
  /** @param {HTMLElement} place Where to show it: a polite live region. */
  constructor(place) {
    this.place = place;
    this.act = null;
    addEventListener("pagehide", () => this.finish());
  }

  /**
   * Show an act.
   *
   * @param {object} act
   * @param {string} act.text What was done.
   * @param {() => Promise<string>} act.undo Takes it back. Returns what to say.
   * @param {() => void} [act.finish] Called once when it can no longer be undone.
   */
  show(act) {
    this.finish();
    this.act = act;
    this.origin = document.activeElement;
    this.place.replaceChildren(
      make("span", { text: act.text }),
      " ",
      make("button", { type: "button", class: "link", text: "Undo (u)", on: { click: () => this.undo() } }),
    );
    this.timer = setTimeout(() => this.finish(), UNDO_SECONDS * 1000);
  }

  async undo() {
    const { act } = this;
    if (!act) return;
    this.forget();
    this.say(await act.undo());
  }

  /** Make the act final. */
  finish() {
    const { act } = this;
    if (!act) return;
    this.forget();
    act.finish?.();
  }

  forget() {
    clearTimeout(this.timer);
    this.act = null;
    if (this.place.contains(document.activeElement)) this.origin.focus(); // the button goes away
    this.place.replaceChildren();
  }

  say(text, isProblem = false) {
    this.place.replaceChildren(make("span", { class: isProblem ? "problem" : false, text }));
  }
}
