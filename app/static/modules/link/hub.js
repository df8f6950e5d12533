// One connection for many pages. In a shared worker, all tabs of a browser use the same hub; without shared workers, each
// page has its own. Pages talk to it through a MessagePort:
//
//   page → hub: hello (who, and how to connect), ask, send, want, wake, bye
//   hub → page: state, frame, answer

import { LOST, Socket } from "./socket.js";

const LIMITS = "channels/state"; // sent once for each connection

export class Hub {
  /** @param {(options, onState, onFrame) => Socket} makeSocket */
  constructor(makeSocket = (...options) => new Socket(...options)) {
    this.makeSocket = makeSocket;
    this.ports = new Set();
    this.socket = null;
    this.user = undefined;
    this.limits = new Map(); // what moderators did, by channel, for pages that come later
  }

  connect(port) {
    port.onmessage = ({ data }) => this.receive(port, data);
    port.start?.();
  }

  receive(port, message) {
    if (message.kind === "hello") this.greet(port, message);
    else if (message.kind === "ask") this.ask(port, message);
    else if (message.kind === "send") this.socket?.send(message.event, message.payload);
    else if (message.kind === "want") this.socket?.want(message.channel);
    else if (message.kind === "wake") this.socket?.wake();
    else if (message.kind === "bye") this.leave(port);
  }

  // The cookie belongs to whoever signed in last. Their page starts over, and pages of another account learn that they
  // are signed out.
  greet(port, { user, options, channel }) {
    const isNew = !this.socket || this.user !== user || this.socket.state.name === "ended";
    if (isNew) {
      this.socket?.end("signed-out");
      this.ports.clear();
    }
    this.ports.add(port);
    if (!isNew) {
      port.postMessage({ kind: "state", state: this.socket.state });
      for (const { payload, at } of this.limits.values()) {
        const seconds_left = payload.seconds_left == null ? null : payload.seconds_left - (Date.now() - at) / 1000;
        port.postMessage({ kind: "frame", event: LIMITS, payload: { ...payload, seconds_left } });
      }
      if (channel) this.socket.want(channel);
      return this.socket.wake();
    }
    this.user = user;
    const socket = this.makeSocket(
      options,
      (state) => {
        if (this.socket !== socket) return;
        if (state.name === "joined") this.limits.clear();
        this.tell({ kind: "state", state });
      },
      (event, payload) => {
        if (this.socket !== socket) return;
        if (event === LIMITS) this.limits.set(payload.id, { payload, at: Date.now() });
        this.tell({ kind: "frame", event, payload });
      },
    );
    this.socket = socket;
    socket.first = channel ?? "";
    socket.connect();
  }

  async ask(port, { number, event, payload }) {
    const answer = this.socket ? await this.socket.ask(event, payload) : LOST;
    port.postMessage({ kind: "answer", number, answer });
  }

  leave(port) {
    this.ports.delete(port);
    if (this.ports.size || !this.socket) return;
    this.socket.end("closed");
    this.socket = null;
  }

  tell(message) {
    for (const port of this.ports) port.postMessage(message);
  }
}
