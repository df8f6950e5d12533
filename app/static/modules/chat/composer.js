// The input: what is typed is never lost, cut or sent half. Keeps a draft for each room, recalls sent lines, completes
// names, and counts characters.

import { COMMANDS } from "./commands.js";
import { completions } from "./completion.js";
import { byId } from "./dom.js";
import { drafts, Sent } from "./drafts.js";
import { excess } from "./text.js";

const COUNTED = 200; // characters before the limit at which the count appears

export class Composer {
  /**
   * @param {(text: string) => boolean} submit Called with what was typed. The input is emptied if it returns true.
   * @param {() => string[]} names Returns people and players as `Name@Game`, those who spoke last first.
   */
  constructor(submit, names) {
    this.submitText = submit;
    this.names = names;
    this.form = byId("chat-form");
    this.input = byId("chat-text");
    this.problem = byId("chat-problem");
    this.count = byId("chat-room-left");
    this.sent = new Sent();
    this.room = "";
    this.completing = null;
    this.input.addEventListener("input", () => this.changed());
    this.input.addEventListener("keydown", (event) => this.pressed(event));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
  }

  /** Show the draft of another room. */
  open(room, label) {
    this.room = room;
    this.input.value = drafts.get(room);
    this.form.querySelector("label").textContent = label;
    this.fail("");
    this.fit();
  }

  changed() {
    this.completing = null;
    this.sent.typed();
    drafts.set(this.room, this.input.value);
    this.fit();
  }

  set(text) {
    this.input.value = text;
    drafts.set(this.room, text);
    this.fit();
  }

  /** Put a text into the input, before anything typed since. */
  putBack(text) {
    this.set(this.input.value ? `${text}\n${this.input.value}` : text);
    this.input.focus();
  }

  /** Insert a text at the caret. */
  insert(text) {
    const { input } = this;
    const before = input.value.slice(0, input.selectionStart);
    input.setRangeText(before && !/\s$/.test(before) ? ` ${text}` : text, input.selectionStart, input.selectionEnd, "end");
    this.changed();
    input.focus();
  }

  fail(text, ...more) {
    this.problem.replaceChildren(...(text ? [text, ...more] : []));
  }

  submit() {
    const text = this.input.value;
    this.fail("");
    if (excess(text.trim()) > 0) {
      return this.fail(`This is ${excess(text.trim()).toLocaleString()} characters too long for one message. Shorten it or send it in parts.`);
    }
    if (text.trim() && !this.submitText(text)) return;
    if (text.trim()) this.sent.add(text);
    this.set("");
    this.input.focus();
  }

  pressed(event) {
    // Safari ends a conversion before it reports the Enter that ended it, as key code 229.
    const isConverting = event.isComposing || event.keyCode === 229;
    if (isConverting) return;
    const hasModifier = event.ctrlKey || event.altKey || event.metaKey;
    if (event.key === "Enter" && !event.shiftKey && !hasModifier) {
      event.preventDefault();
      this.submit();
    } else if (event.key === "Tab" && !event.shiftKey && !hasModifier) this.complete(event);
    else if ((event.key === "ArrowUp" || event.key === "ArrowDown") && !event.shiftKey && !hasModifier) this.recall(event);
    else if (event.key === "Escape" && this.completing) {
      event.preventDefault();
      this.set(this.completing.original);
      this.completing = null;
    }
  }

  // With nothing to complete, Tab moves on, as everywhere.
  complete(event) {
    const { input } = this;
    if (input.selectionStart !== input.selectionEnd) return;
    if (this.completing) {
      if (this.completing.choices.length < 2) return (this.completing = null);
      this.completing.at = (this.completing.at + 1) % this.completing.choices.length;
    } else {
      const before = input.value.slice(0, input.selectionStart);
      const { start, choices } = completions(before, this.names(), COMMANDS.map(([name]) => name));
      if (!choices.length || (choices.length === 1 && before.slice(start) === choices[0])) return;
      this.completing = { start, choices, at: 0, original: input.value, after: input.value.slice(input.selectionStart) };
    }
    event.preventDefault();
    const { completing } = this;
    const text = completing.original.slice(0, completing.start) + completing.choices[completing.at];
    this.set(text + completing.after);
    input.setSelectionRange(text.length, text.length);
  }

  recall(event) {
    const { input } = this;
    const isUp = event.key === "ArrowUp";
    const edge = isUp ? input.value.slice(0, input.selectionStart) : input.value.slice(input.selectionEnd);
    if (edge.includes("\n")) return; // the caret moves between lines
    const text = isUp ? this.sent.back(input.value) : this.sent.forward();
    if (text === null) return;
    event.preventDefault();
    this.set(text);
    input.setSelectionRange(text.length, text.length);
  }

  // Fit the input's height to its lines, up to the limit in the stylesheet, and show how much room is left.
  fit() {
    const { input, count } = this;
    input.style.height = "auto";
    input.style.height = `${input.scrollHeight + 2}px`;
    const over = excess(input.value.trim());
    count.hidden = over < -COUNTED;
    if (count.hidden) return;
    count.textContent = over > 0 ? `${over.toLocaleString()} too many` : `${(-over).toLocaleString()} left`;
    count.dataset.kind = over > 0 ? "bad" : "";
  }
}
