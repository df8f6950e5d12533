// A chat page: connects the lines, the read marks and the socket; shows who is listening; sends messages.
"use strict";

(() => {
  const chat = document.getElementById("chat");
  const { root } = document.body.dataset;
  const form = document.getElementById("chat-form");
  const input = document.getElementById("chat-text");
  const problem = document.getElementById("chat-problem");
  const HERE_SECONDS = 30;

  const NOT_CONNECTED = "You are not connected. Your text is kept: send it when you are live again.";
  let username = ""; // set when the socket signs in

  const lines = chatLines(chat);
  const reading = chatReading(chat, lines);

  const wide = matchMedia("(min-width: 62rem)");
  const here = document.getElementById("chat-here");
  const unfold = () => { here.open = wide.matches; };
  wide.addEventListener("change", unfold);
  unfold();
  document.querySelector('.chat-channels [aria-current="page"]')?.scrollIntoView({ block: "nearest", inline: "center" });

  if (!chat.dataset.socket) return;

  const socket = chatSocket(chat, {
    channels() {
      const current = chat.dataset.channel;
      const all = [...document.querySelectorAll(".chat-channels a")].map((link) => link.dataset.channel);
      return [current, ...all.filter((name) => name !== current)]; // the first ones win if there are too many
    },
    async joined({ channels, username: name }) {
      username = name;
      try {
        if (!(await lines.fillGap())) startOver();
      } catch (error) {
        if (error.status === 404) channelIsGone();
        throw error;
      }
      const isSubscribed = channels.some((name) => name.toLowerCase() === chat.dataset.channel.toLowerCase());
      if (!isSubscribed) throw new Error("the worker does not know the channel yet");
    },
    live() {
      form.hidden = false;
      if (problem.textContent === NOT_CONNECTED) fail("");
      askForListeners();
      reading.refresh();
      reading.note();
    },
    lost() {
      returnPending();
      showListeners(false);
    },
    received(event, payload) {
      if (event === "channels/broadcast") showMessage(payload);
      else if (event === "tells/receive") showTell(payload);
      else if (event === "channels/changed") renameChannel(payload);
      else if (event === "channels/closed") closeChannel(payload.id);
      else if (event === "channels/redacted") lines.redact(payload.id);
    },
    signedOut: () => end("You are signed out.", `${root}/sign-in?next=${encodeURIComponent(location.pathname)}`, "Sign in"),
  });
  reading.useSocket(socket);

  function showMessage(line) {
    // The user's own lines can also come from another page.
    const isOwn = line.game === "Grapevine" && line.name.toLowerCase() === username.toLowerCase();
    const isHere = line.channel === chat.dataset.channel;
    if (isHere && !lines.append(lines.makeLine(line))) return;
    if (isOwn) return;
    if (isHere) reading.countHere();
    else reading.countElsewhere(line.channel);
  }

  // Reload the page, but keep the text in the input.
  function startOver() {
    addEventListener("pagehide", () => typed.keep(input.value));
    location.reload();
  }

  function closeChannel(id) {
    if (String(id) !== chat.dataset.channelId) return;
    socket.say("This channel is no longer public.", "bad");
    form.hidden = true;
  }

  const channelIsGone = () => end("This channel was deleted or renamed.", `${root}/chat`, "All channels");

  function end(text, href, label) {
    const link = document.createElement("a");
    link.href = href;
    link.textContent = label;
    socket.end(text).append(" ", link);
    form.hidden = true;
  }

  // Change the name of a renamed channel. The lines and the input stay.
  function renameChannel({ id, name }) {
    const link = document.querySelector(`.chat-channels a[data-id="${id}"]`);
    const before = link?.dataset.channel;
    if (!link || before === name) return;
    link.dataset.channel = name;
    link.querySelector(".channel").textContent = name;
    link.pathname = `${root}/chat/${encodeURIComponent(name)}`;
    if (String(id) !== chat.dataset.channelId) return;
    chat.dataset.channel = name;
    chat.dataset.lines = `${link.pathname}/lines`;
    for (const piece of document.querySelectorAll("#chat-title .channel, .chat-name")) piece.textContent = name;
    document.getElementById("chat-log").setAttribute("aria-label", `Messages on ${name}`);
    const older = document.getElementById("chat-older");
    if (older) older.pathname = link.pathname;
    history.replaceState(null, "", link.pathname);
    reading.renamed(before);
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && socket.isLive()) askForListeners();
  });

  // Listeners

  function showListeners(areKnown) {
    document.getElementById("chat-who").hidden = !areKnown;
    document.getElementById("chat-who-unknown").hidden = areKnown;
  }

  let hereTimer = 0;
  function askForListeners() {
    clearTimeout(hereTimer);
    socket.ask("channels/listeners", { channel: chat.dataset.channel }, ({ payload }) => {
      if (!payload) return;
      showListeners(true);
      document.getElementById("chat-people-count").textContent = payload.people_count;
      const entry = (href, text, more) => {
        const item = document.createElement("li");
        const link = document.createElement("a");
        link.href = root + href + encodeURIComponent(text);
        link.textContent = text;
        item.append(link);
        if (more !== undefined) item.append(" ", span("soft", String(more)));
        return item;
      };
      document.getElementById("chat-people").replaceChildren(...payload.people.map((name) => entry("/players/", name)));
      document.getElementById("chat-games").replaceChildren(
        ...payload.games.map(({ game, players }) => entry("/games/", game, players)),
      );
    });
    hereTimer = setTimeout(() => {
      if (socket.isLive() && !document.hidden) askForListeners();
    }, HERE_SECONDS * 1000);
  }

  // Speaking

  // Text to restore after a reload, if the browser allows storage.
  const typed = {
    key: `chat-typed/${chat.dataset.channelId}`,
    keep(text) {
      try {
        sessionStorage.setItem(this.key, text);
      } catch {
        // Storage is blocked.
      }
    },
    take() {
      try {
        const text = sessionStorage.getItem(this.key) ?? "";
        sessionStorage.removeItem(this.key);
        return text;
      } catch {
        return "";
      }
    },
  };

  const pending = new Map(); // texts that were sent and have no answer yet, in order
  let lastSent = 0;
  let lastTeller = "";

  function fail(text, ...more) {
    problem.textContent = "";
    problem.append(text, ...more);
  }

  // Put a refused text back into the input, before anything typed since.
  function putBack(text) {
    input.value = input.value ? `${text}\n${input.value}` : text;
    fit();
  }

  function returnPending() {
    if (!pending.size) return;
    putBack([...pending.values()].join("\n"));
    pending.clear();
    fail("The connection was lost before an answer arrived. If your message does not appear once you are live again, send it again.");
  }

  const errors = {
    "game-offline": "That game is not online.",
    "player-offline": "That player is not online.",
    "not-supported": "That game does not accept tells.",
    "not-subscribed": "This channel is no longer public.",
    internal: "Your message could not be stored. Try again in a moment.",
  };

  // Return the text for a refusal. Mutes and bans show the remaining time and the reason, since the worker's sentence is
  // written for games.
  function refusal(answer) {
    if (answer.code === "muted" || answer.code === "banned") {
      const reason = answer.error.replace(/^\w+( until \S+Z)?: /, "");
      const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
      const left = answer.seconds_left;
      const [unit, size] = units.find(([, size]) => left >= size) ?? units[3];
      const count = Math.ceil((left ?? 0) / size);
      const length = left == null ? "permanently" : `for another ${count} ${unit}${count === 1 ? "" : "s"}`;
      return `You are ${answer.code} ${length}: ${sentence(reason)}`;
    }
    if (answer.code !== "rate-limited") return errors[answer.code] ?? sentence(answer.error);
    const seconds = Math.ceil((answer.retry_after_ms ?? 1000) / 1000);
    return `You are sending too fast. Try again in ${seconds === 1 ? "a second" : `${seconds} seconds`}.`;
  }

  function appealLink(answer) {
    if (answer.code !== "muted" && answer.code !== "banned") return [];
    const link = document.createElement("a");
    link.href = `${root}/account/sanctions`;
    link.textContent = "See it and appeal";
    return [" ", link];
  }

  function send(event, payload, text, succeeded) {
    const order = ++lastSent;
    pending.set(order, text);
    socket.ask(event, payload, (answer) => {
      pending.delete(order);
      if (answer.status === "success") return succeeded?.();
      putBack(text);
      fail(refusal(answer), ...appealLink(answer));
    });
  }

  function submit() {
    const text = input.value.trim();
    fail("");
    if (!text) return input.focus();
    if (!socket.isLive()) return fail(NOT_CONNECTED);
    const tell = /^\/(?:tell\s+([^@]+)@(\S+)|r(?:eply)?)\s+([^]+)$/i.exec(text);
    if (tell) {
      const [, name, game, message] = tell;
      const to = name ? `${name.trim()}@${game}` : lastTeller;
      if (!to) return fail("You have not received a tell yet.");
      const at = to.lastIndexOf("@");
      const who = { to_name: to.slice(0, at), to_game: to.slice(at + 1) };
      send("tells/send", { ...who, message }, text, () => {
        const line = { sent_at: new Date().toISOString(), name: who.to_name, game: who.to_game, message };
        lines.append(lines.makeLine(line, ["You tell ", ":"]), { isOwn: true });
      });
    } else if (/^\/\w/.test(text)) {
      return fail("The commands are /tell Name@Game Hello! and /r Hello! (answers the last tell).");
    } else {
      send("channels/send", { channel: chat.dataset.channel, message: text }, text, lines.toEnd);
    }
    input.value = "";
    fit();
    input.focus();
  }

  function showTell({ from_game, from_name, message, sent_at }) {
    lastTeller = `${from_name}@${from_game}`;
    lines.append(lines.makeLine({ sent_at, name: from_name, game: from_game, message }, ["", " tells you:"]));
  }

  // Fit the input's height to its lines, up to the limit in the stylesheet.
  function fit() {
    input.style.height = "auto";
    input.style.height = `${input.scrollHeight + 2}px`;
  }

  input.addEventListener("input", fit);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      submit();
    }
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  form.hidden = false;
  const kept = typed.take();
  if (kept) putBack(kept);
  socket.connect();
})();
