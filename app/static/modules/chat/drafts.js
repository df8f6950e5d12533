// What is typed but not sent yet, for each room (a channel or a conversation), and what was sent from each.

import { recall, remember } from "./storage.js";

const RECALLED = 50; // sent lines to recall with the arrow keys

export const drafts = {
  get: (room) => recall(`draft/${room}`, ""),
  set: (room, text) => remember(`draft/${room}`, text || undefined),
};

/** The lines sent in this session, which the arrow keys recall. */
export class Sent {
  constructor(lines = recall("sent", [])) {
    this.lines = lines;
    this.at = null; // the position while recalling; null otherwise
    this.unsent = "";
  }

  add(text) {
    this.lines = [...this.lines.filter((line) => line !== text), text].slice(-RECALLED);
    this.at = null;
    remember("sent", this.lines);
  }

  /** Return the line before the current one; null if there is none. `typed` comes back after the last one. */
  back(typed) {
    if (this.at === null) {
      if (typed || !this.lines.length) return null;
      this.unsent = typed;
      this.at = this.lines.length;
    }
    if (this.at === 0) return null;
    this.at -= 1;
    return this.lines[this.at];
  }

  forward() {
    if (this.at === null) return null;
    this.at += 1;
    if (this.at < this.lines.length) return this.lines[this.at];
    this.at = null;
    return this.unsent;
  }

  typed() {
    this.at = null;
  }
}
