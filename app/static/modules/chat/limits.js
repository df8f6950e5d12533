// What moderators did to the channels: paused, closed or slowed down, as the worker tells it.

import { byId, sentence } from "./dom.js";
import { clockTime } from "./times.js";

export class Limits {
  /** @param {() => void} onChange Called when what applies to the current channel may have changed. */
  constructor(chat, onChange) {
    this.chat = chat;
    this.onChange = onChange;
    this.states = new Map(); // by channel id
    this.timer = 0;
    this.isKnown = false; // until the connection has told what applies, the page shows what the site knew
  }

  get current() {
    return this.states.get(Number(this.chat.dataset.channelId));
  }

  /** Whether nobody can speak on the current channel. */
  get isStopped() {
    return Boolean(this.current && (this.current.paused || this.current.closed));
  }

  receive(state) {
    const ends = state.seconds_left == null ? null : Date.now() + state.seconds_left * 1000;
    this.states.set(state.id, { ...state, ends });
    this.show();
  }

  /** Forget everything: a new connection is told what applies. */
  reset() {
    this.states.clear();
    this.isKnown = false;
  }

  /** The connection has told everything. */
  settle() {
    this.isKnown = true;
    this.show();
  }

  show() {
    clearTimeout(this.timer);
    const state = this.current;
    if (state?.paused && state.ends !== null) {
      const left = state.ends - Date.now();
      if (left <= 0) state.paused = false;
      else this.timer = setTimeout(() => this.show(), Math.min(left + 500, 3600_000));
    }
    if (state || this.isKnown) byId("chat-limits").textContent = this.text(state);
    this.onChange();
  }

  text(state) {
    if (state?.closed) return "This channel is closed: nobody can speak.";
    if (state?.paused) {
      const until = state.ends === null ? "" : ` until ${clockTime(new Date(state.ends))}`;
      return `This channel is paused${until}${state.reason ? `: ${sentence(state.reason)}` : "."}`;
    }
    if (state?.slow_seconds) return `Slow mode: one message every ${state.slow_seconds} seconds.`;
    return "";
  }
}
