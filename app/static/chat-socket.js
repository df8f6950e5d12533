// The socket of a chat page (docs/browser-chat.md): signs in with a token from the site, matches answers to what was asked,
// and connects again by itself.
"use strict";

// channels: the names of those to hear, this page's own first. joined: called once the page hears them; if it fails, the
// page tries again, else it is live. lost: called when the socket is gone. heard: for each frame that answers nothing.
// signedOut: when the session has ended.
function chatSocket(chat, { channels, joined, live, lost, heard, signedOut }) {
  const state = document.getElementById("chat-state");
  const LONGEST_SECONDS = 60;

  let socket = null;
  let isLive = false;
  let attempt = 0;
  let timer = 0;
  let lastRef = 0;
  let hasEnded = false;
  const asked = new Map(); // by ref: what to do with the answer

  function say(text, kind = "") {
    state.textContent = text;
    state.dataset.kind = kind;
  }

  function send(event, payload, ref) {
    socket.send(JSON.stringify({ event, ref, payload }));
  }

  function ask(event, payload, answered) {
    lastRef += 1;
    asked.set(lastRef, answered);
    send(event, payload, lastRef);
  }

  async function connect() {
    clearTimeout(timer);
    timer = 0;
    say(attempt ? "Connecting again…" : "Connecting…");
    let token;
    try {
      const answer = await fetch(chat.dataset.token, { cache: "no-store" });
      if (answer.status === 401) {
        return signedOut();
      }
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      ({ token } = await answer.json());
    } catch {
      return later();
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
      if (answer.code === "rate-limited") attempt = Math.max(attempt, 6); // too many pages: that takes a while to change
      return;
    }
    const own = socket;
    try {
      await joined(answer.payload);
    } catch {
      return own.close(); // and try again
    }
    if (socket !== own) return; // lost meanwhile
    isLive = true;
    attempt = 0;
    say("Live", "good");
    live();
  }

  function closed(code) {
    isLive = false;
    socket = null;
    asked.clear();
    lost();
    if (!hasEnded) later(code);
  }

  // For good: there is nothing here to come back to. Returns where more may be said about it.
  function end(text) {
    hasEnded = true;
    say(text, "bad");
    socket?.close();
    return state;
  }

  // Each time later, and never all pages at once. After a restart another worker may be there at once.
  function later(code) {
    const longest = code === 1012 ? 2 : Math.min(2 ** attempt, LONGEST_SECONDS);
    const seconds = longest * (code === 1012 ? Math.random() : 0.5 + Math.random() / 2);
    attempt += 1;
    if (state.dataset.kind !== "bad") say("Not connected. Trying again…", "");
    clearTimeout(timer);
    timer = setTimeout(connect, seconds * 1000);
  }

  // Coming back to the page, or onto the network, is a good moment.
  function tryNow() {
    if (!isLive && timer && !document.hidden) connect();
  }
  addEventListener("online", tryNow);
  document.addEventListener("visibilitychange", tryNow);

  // A page that is kept to go back to connects again.
  addEventListener("pagehide", () => socket?.close());
  addEventListener("pageshow", (event) => {
    if (event.persisted) tryNow();
  });

  function receive(frame) {
    const answered = asked.get(frame.ref);
    if (answered) {
      asked.delete(frame.ref);
      answered(frame);
    } else if (frame.event === "heartbeat") send("heartbeat");
    else if (frame.event === "restart") say("The chat restarts, and comes back by itself.");
    else heard(frame.event, frame.payload);
  }

  return { ask, connect, end, isLive: () => isLive, say, send };
}

// What the worker says of a failure, as people write.
function sentence(text) {
  const full = text[0].toUpperCase() + text.slice(1);
  return /[.!?]$/.test(full) ? full : full + ".";
}
