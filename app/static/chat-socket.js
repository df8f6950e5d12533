// The socket of a chat page (docs/browser-chat.md): signs in with a token from the site, matches answers to requests, and
// reconnects automatically.
"use strict";

/**
 * Create the socket of a chat page. Call `connect()` to start.
 *
 * @param {HTMLElement} chat The element with the page's data attributes.
 * @param {object} options
 * @param {() => string[]} options.channels Returns the channels to subscribe to, this page's first.
 * @param {(payload: object) => Promise} options.joined Called after signing in. If it fails, the socket reconnects.
 * @param {() => void} options.live Called when the socket is ready.
 * @param {() => void} options.lost Called when the connection is lost.
 * @param {(event: string, payload: object) => void} options.received Called for each frame that is not an answer.
 * @param {() => void} options.signedOut Called when the session has ended.
 */
function chatSocket(chat, { channels, joined, live, lost, received, signedOut }) {
  const state = document.getElementById("chat-state");
  const MAX_DELAY_SECONDS = 60;

  let socket = null;
  let isLive = false;
  let attempt = 0;
  let timer = 0;
  let lastRef = 0;
  let hasEnded = false;
  const requests = new Map(); // callbacks for answers, by ref

  function say(text, kind = "") {
    state.textContent = text;
    state.dataset.kind = kind;
  }

  function send(event, payload, ref) {
    socket.send(JSON.stringify({ event, ref, payload }));
  }

  function ask(event, payload, callback) {
    lastRef += 1;
    requests.set(lastRef, callback);
    send(event, payload, lastRef);
  }

  async function connect() {
    clearTimeout(timer);
    timer = 0;
    say(attempt ? "Reconnecting…" : "Connecting…");
    let token;
    try {
      const answer = await fetch(chat.dataset.token, { cache: "no-store" });
      if (answer.status === 401) {
        return signedOut();
      }
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      ({ token } = await answer.json());
    } catch {
      return reconnectLater();
    }
    const opened = new WebSocket(chat.dataset.socket);
    socket = opened;
    opened.onopen = () => ask("authenticate", { token, channels: channels().slice(0, 100) }, signedIn);
    opened.onmessage = (message) => receive(JSON.parse(message.data));
    opened.onclose = (event) => {
      if (socket === opened) closed(event.code);
    };
  }

  async function signedIn(answer) {
    if (answer.status !== "success") {
      say(sentence(answer.error), "bad");
      if (answer.code === "rate-limited") attempt = Math.max(attempt, 6); // too many open pages: wait longer
      return;
    }
    const current = socket;
    try {
      await joined(answer.payload);
    } catch {
      return current.close(); // reconnects
    }
    if (socket !== current) return; // the connection was lost meanwhile
    isLive = true;
    attempt = 0;
    say("Live", "good");
    live();
  }

  function closed(code) {
    isLive = false;
    socket = null;
    requests.clear();
    lost();
    if (!hasEnded) reconnectLater(code);
  }

  // Close the socket and do not reconnect. Returns the status element, so that the caller can add a link.
  function end(text) {
    hasEnded = true;
    say(text, "bad");
    socket?.close();
    return state;
  }

  // Reconnect with growing, random delays, so that not all pages return at once. After a restart (1012), another worker
  // may be ready, so return sooner.
  function reconnectLater(code) {
    const maxDelay = code === 1012 ? 2 : Math.min(2 ** attempt, MAX_DELAY_SECONDS);
    const seconds = maxDelay * (code === 1012 ? Math.random() : 0.5 + Math.random() / 2);
    attempt += 1;
    if (state.dataset.kind !== "bad") say("Not connected. Trying again…", "");
    clearTimeout(timer);
    timer = setTimeout(connect, seconds * 1000);
  }

  // Reconnect at once when the reader returns to the page or the network is back.
  function tryNow() {
    if (!isLive && timer && !document.hidden) connect();
  }
  addEventListener("online", tryNow);
  document.addEventListener("visibilitychange", tryNow);

  // Reconnect when the browser restores the page from its back/forward cache.
  addEventListener("pagehide", () => socket?.close());
  addEventListener("pageshow", (event) => {
    if (event.persisted) tryNow();
  });

  function receive(frame) {
    const callback = requests.get(frame.ref);
    if (callback) {
      requests.delete(frame.ref);
      callback(frame);
    } else if (frame.event === "heartbeat") send("heartbeat");
    else if (frame.event === "restart") say("The chat is restarting and will reconnect automatically.");
    else received(frame.event, frame.payload);
  }

  return { ask, connect, end, isLive: () => isLive, say, send };
}

// Return an error of the worker with a capital letter and a full stop.
function sentence(text) {
  const full = text[0].toUpperCase() + text.slice(1);
  return /[.!?]$/.test(full) ? full : full + ".";
}
