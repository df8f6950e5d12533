// A page's end of the connection. Uses the shared worker if the browser has one, so that all tabs share one socket.

import { Hub } from "./hub.js";

/**
 * Connect the page.
 *
 * @param {object} hello
 * @param {string} hello.user The account's name; empty for visitors.
 * @param {object} hello.options See Socket.
 * @param {string} [hello.channel] The channel that the page shows.
 * @param {boolean} [isShared] Whether to share one socket between tabs. Visitors' tabs do not: each reads its own channels.
 */
export function openLink(hello, isShared = true) {
  const listeners = { state: [], frame: [] };
  const answers = new Map(); // callbacks by number
  let last = 0;
  let port = null;
  let state = { name: "connecting", attempt: 0 };
  let early = []; // what moderators did to channels: a module that is still loading needs it too

  function receive({ data }) {
    if (data.kind === "state") {
      state = data.state;
      if (state.name === "joined") early = [];
      for (const listener of listeners.state) listener(state);
    } else if (data.kind === "frame") {
      if (data.event === "channels/state") early.push([data.event, data.payload]);
      for (const listener of listeners.frame) listener(data.event, data.payload);
    } else if (data.kind === "answer") {
      const callback = answers.get(data.number);
      answers.delete(data.number);
      callback?.(data.answer);
    }
  }

  function use(next) {
    port = next;
    port.onmessage = receive;
    port.start();
    port.postMessage({ kind: "hello", ...hello });
  }

  function useOwnHub() {
    const { port1, port2 } = new MessageChannel();
    new Hub().connect(port1);
    use(port2);
  }

  function open() {
    if (!isShared || !("SharedWorker" in globalThis)) return useOwnHub();
    try {
      const worker = new SharedWorker(new URL("worker.js", import.meta.url), { type: "module", name: "gossip-chat" });
      worker.onerror = useOwnHub; // a browser whose shared workers have no modules
      use(worker.port);
    } catch {
      useOwnHub(); // shared workers are blocked here
    }
  }

  addEventListener("pagehide", () => port.postMessage({ kind: "bye" }));
  addEventListener("pageshow", (event) => {
    if (event.persisted) port.postMessage({ kind: "hello", ...hello });
  });
  const wake = () => {
    if (!document.hidden) port.postMessage({ kind: "wake" });
  };
  addEventListener("online", wake);
  document.addEventListener("visibilitychange", wake);
  open();

  return {
    /** Call a function with each new state. */
    onState(listener) {
      listeners.state.push(listener);
    },
    /** Call a function for each frame that is not an answer, and for what is known already of the channels. */
    onFrame(listener) {
      listeners.frame.push(listener);
      for (const frame of early) listener(...frame);
    },
    ask(event, payload) {
      last += 1;
      const number = last;
      return new Promise((resolve) => {
        answers.set(number, resolve);
        port.postMessage({ kind: "ask", number, event, payload });
      });
    },
    send: (event, payload) => port.postMessage({ kind: "send", event, payload }),
    want(channel) {
      hello.channel = channel;
      port.postMessage({ kind: "want", channel });
    },
    wake,
    get state() {
      return state;
    },
  };
}
