// Lines that were sent and are not confirmed yet, and those that failed, under the lines of the room: dimmed at once,
// then confirmed, or given back with the reason. A reload forgets none of them.

import { byId, make, sentence } from "./dom.js";
import { makeLine, makeTell } from "./line.js";
import { recall, remember } from "./storage.js";
import { comparable } from "./text.js";
import { lengthOf } from "./times.js";

const UNKNOWN = "The connection was lost before an answer arrived. It may have been sent.";
const UNSENT = "It was not sent: you left the page before an answer arrived. It may have been sent.";

const errors = {
  "game-offline": "That game is not online.",
  "player-offline": "That player is not online.",
  "not-supported": "That game does not accept tells.",
  "not-subscribed": "This channel is no longer public.",
  internal: "Your message could not be stored. Try again in a moment.",
};

/** Return the text for a refusal, for people: the worker's sentence is written for games. */
export function refusal(answer) {
  if (answer.status === "lost") return UNKNOWN;
  if (answer.code === "muted" || answer.code === "banned") {
    const reason = answer.error.replace(/^\w+( until \S+Z)?: /, "");
    const length = answer.seconds_left == null ? "permanently" : `for another ${lengthOf(answer.seconds_left)}`;
    return `You are ${answer.code} ${length}: ${sentence(reason)}`;
  }
  if (answer.code === "channel-paused") {
    if (answer.error.includes("closed")) return "This channel is closed.";
    if (!answer.error.includes("channel is paused")) return sentence(answer.error); // protection against a raid
    const length = answer.seconds_left == null ? "until further notice" : `for another ${lengthOf(answer.seconds_left)}`;
    return `This channel is paused ${length}${answer.reason ? `: ${sentence(answer.reason)}` : "."}`;
  }
  if (answer.code !== "rate-limited") return errors[answer.code] ?? sentence(answer.error);
  const seconds = Math.ceil((answer.retry_after_ms ?? 1000) / 1000);
  return `You are sending too fast. Try again in ${seconds === 1 ? "a second" : `${seconds} seconds`}.`;
}

export class Outbox {
  /**
   * @param {object} options
   * @param {string} options.username
   * @param {(entry: object) => Promise<object>} options.send Sends an entry, and returns the answer.
   * @param {(entry: object) => void} options.edit Puts the text of an entry back into the input.
   * @param {(text: string, entry: object) => void} options.failed Called with the reason when an entry has failed.
   * @param {string} options.appeal The address where sanctions can be appealed.
   */
  constructor(options) {
    this.options = options;
    this.room = "";
    this.last = 0;
    // What was on its way when the page went away has no answer any more.
    this.entries = recall("outbox", []).map((entry) => ({ ...entry, problem: entry.problem ?? UNSENT }));
    for (const entry of this.entries) this.last = Math.max(this.last, entry.number);
  }

  keep() {
    remember("outbox", this.entries.length ? this.entries : undefined);
  }

  /** Show the entries of another room. */
  open(room) {
    this.room = room;
    this.element = byId("chat-outbox");
    this.element.replaceChildren(...this.entries.filter((entry) => entry.room === room).map((entry) => this.row(entry)));
  }

  /** Send a text. `entry` has `room`, `text` (what was typed), and what `send` needs: `channel` and `message`, or `tell`. */
  add(entry) {
    this.last += 1;
    entry.number = this.last;
    entry.sent_at = new Date().toISOString();
    this.entries.push(entry);
    if (entry.room === this.room) this.element.append(this.row(entry));
    return this.attempt(entry);
  }

  async attempt(entry) {
    entry.problem = null;
    this.keep();
    this.show(entry);
    const answer = await this.options.send(entry);
    if (!this.entries.includes(entry)) return;
    if (answer.status === "success") return this.remove(entry);
    entry.isUnknown = answer.status === "lost";
    entry.canAppeal = answer.code === "muted" || answer.code === "banned";
    entry.problem = refusal(answer);
    this.keep();
    this.show(entry);
    this.options.failed(entry.problem, entry);
  }

  /** Confirm entries whose answer was lost, if their line was among those that were missed. */
  confirm(lines) {
    for (const { channel, message } of lines) {
      const entry = this.entries.find((one) => one.isUnknown && one.channel === channel && comparable(one.message) === message);
      if (entry) this.remove(entry);
    }
  }

  remove(entry) {
    this.entries = this.entries.filter((other) => other !== entry);
    this.element.querySelector(`[data-number="${entry.number}"]`)?.remove();
    this.keep();
  }

  show(entry) {
    this.element.querySelector(`[data-number="${entry.number}"]`)?.replaceWith(this.row(entry));
  }

  row(entry) {
    const shown = entry.tell
      ? makeTell({ ...entry.tell, sent_at: entry.sent_at, isOwn: true })
      : makeLine({ name: this.options.username, game: "Grapevine", message: entry.message, sent_at: entry.sent_at });
    shown.classList.add(entry.problem ? "failed" : "pending");
    shown.dataset.number = entry.number;
    shown.querySelector(".at").replaceChildren(entry.problem ? "not sent" : "sending");
    if (!entry.problem) return shown;
    const button = (text, act) => make("button", { type: "button", class: "link", text, on: { click: act } });
    shown.append(
      make(
        "p",
        { class: "why" },
        make("span", { class: "problem", text: entry.problem }),
        entry.canAppeal && make("a", { href: this.options.appeal, text: "See it and appeal" }),
        button("Try again", () => this.attempt(entry)),
        button("Edit", () => {
          this.remove(entry);
          this.options.edit(entry);
        }),
        button("Discard", () => this.remove(entry)),
      ),
    );
    return shown;
  }
}
