// A chat page: puts its lines, what is read of them and the socket together; who hears it, and what one says.
"use strict";

(() => {
  const chat = document.getElementById("chat");
  const form = document.getElementById("chat-form");
  const input = document.getElementById("chat-text");
  const problem = document.getElementById("chat-problem");
  const HERE_SECONDS = 30;

  const NOT_CONNECTED = "Not connected just now. What you typed stays here: send it when you are live again.";
  let own = ""; // whom this page speaks for

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
      const own = chat.dataset.channel;
      const all = [...document.querySelectorAll(".chat-channels a")].map((link) => link.dataset.channel);
      return [own, ...all.filter((name) => name !== own)]; // a worker lets a page hear so many
    },
    async joined({ channels, username }) {
      own = username;
      try {
        if (!(await lines.fillGap())) startOver();
      } catch (error) {
        if (error.status === 404) gone();
        throw error;
      }
      const isHeard = channels.some((name) => name.toLowerCase() === chat.dataset.channel.toLowerCase());
      if (!isHeard) throw new Error("the worker does not know of the channel yet");
    },
    live() {
      form.hidden = false;
      if (problem.textContent === NOT_CONNECTED) fail("");
      askWhoHears();
      reading.refresh();
      reading.note();
    },
    lost() {
      giveBack();
      knowWhoHears(false);
    },
    heard(event, payload) {
      if (event === "channels/broadcast") hear(payload);
      else if (event === "tells/receive") told(payload);
      else if (event === "channels/changed") changed(payload);
      else if (event === "channels/closed") closed(payload.id);
      else if (event === "channels/redacted") lines.redact(payload.id);
    },
    signedOut: () => end("You are signed out.", `/sign-in?next=${encodeURIComponent(location.pathname)}`, "Sign in"),
  });
  reading.tellTo(socket);

  function hear(line) {
    const isOwn = line.game === "Grapevine" && line.name.toLowerCase() === own.toLowerCase(); // said on another page, maybe
    const isHere = line.channel === chat.dataset.channel;
    if (isHere && !lines.append(lines.makeLine(line))) return;
    if (isOwn) return;
    if (isHere) reading.came();
    else reading.cameElsewhere(line.channel);
  }

  // The page anew; what is typed stays.
  function startOver() {
    addEventListener("pagehide", () => typed.keep(input.value));
    location.reload();
  }

  function closed(id) {
    if (String(id) !== chat.dataset.channelId) return;
    socket.say("This channel is not public any more.", "bad");
    form.hidden = true;
  }

  const gone = () => end("This channel is gone, or is called something else now.", "/chat", "All channels");

  function end(text, href, words) {
    const link = document.createElement("a");
    link.href = href;
    link.textContent = words;
    socket.end(text).append(" ", link);
    form.hidden = true;
  }

  // A channel may be called something else now: what is shown and typed stays.
  function changed({ id, name }) {
    const link = document.querySelector(`.chat-channels a[data-id="${id}"]`);
    const before = link?.dataset.channel;
    if (!link || before === name) return;
    link.dataset.channel = name;
    link.querySelector(".channel").textContent = name;
    link.pathname = `/chat/${encodeURIComponent(name)}`;
    if (String(id) !== chat.dataset.channelId) return;
    chat.dataset.channel = name;
    chat.dataset.lines = `${link.pathname}/lines`;
    for (const piece of document.querySelectorAll("#chat-title .channel, .chat-name")) piece.textContent = name;
    document.getElementById("chat-log").setAttribute("aria-label", `What is said on ${name}`);
    const older = document.getElementById("chat-older");
    if (older) older.pathname = link.pathname;
    history.replaceState(null, "", link.pathname);
    reading.renamed(before);
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && socket.isLive()) askWhoHears();
  });

  // Who hears this

  function knowWhoHears(isKnown) {
    document.getElementById("chat-who").hidden = !isKnown;
    document.getElementById("chat-who-unknown").hidden = isKnown;
  }

  let hereTimer = 0;
  function askWhoHears() {
    clearTimeout(hereTimer);
    socket.ask("channels/listeners", { channel: chat.dataset.channel }, ({ payload }) => {
      if (!payload) return;
      knowWhoHears(true);
      document.getElementById("chat-people-count").textContent = payload.people_count;
      const entry = (href, text, more) => {
        const item = document.createElement("li");
        const link = document.createElement("a");
        link.href = href + encodeURIComponent(text);
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
      if (socket.isLive() && !document.hidden) askWhoHears();
    }, HERE_SECONDS * 1000);
  }

  // Speaking

  // What was typed before the page was loaded anew. A browser that keeps nothing for this site does without.
  const typed = {
    key: `chat-typed/${chat.dataset.channelId}`,
    keep(text) {
      try {
        sessionStorage.setItem(this.key, text);
      } catch {
        // Nothing is kept.
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

  const pending = new Map(); // by its order: what was sent and has no answer yet
  let lastSent = 0;
  let lastTeller = "";

  function fail(text, ...more) {
    problem.textContent = "";
    problem.append(text, ...more);
  }

  // What is typed is never lost: what was refused comes back, before what has been typed since.
  function putBack(text) {
    input.value = input.value ? `${text}\n${input.value}` : text;
    fit();
  }

  function giveBack() {
    if (!pending.size) return;
    putBack([...pending.values()].join("\n"));
    pending.clear();
    fail("The connection was lost before an answer came. If it is not above once you are live again, send it again.");
  }

  const wrong = {
    "game-offline": "That game is not online.",
    "player-offline": "That player is not online.",
    "not-supported": "That game takes no tells.",
    "not-subscribed": "This channel is not public any more.",
    internal: "That could not be stored. Try again in a moment.",
  };

  // Of a mute or a ban: for how long still, why, and where to appeal. The worker's sentence is for games.
  function refusal(answer) {
    if (answer.code === "muted" || answer.code === "banned") {
      const reason = answer.error.replace(/^\w+( until \S+Z)?: /, "");
      const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
      const left = answer.seconds_left;
      const [unit, size] = units.find(([, size]) => left >= size) ?? units[3];
      const count = Math.ceil((left ?? 0) / size);
      const length = left == null ? "for good" : `for another ${count} ${unit}${count === 1 ? "" : "s"}`;
      return `You are ${answer.code} ${length}: ${sentence(reason)}`;
    }
    if (answer.code !== "rate-limited") return wrong[answer.code] ?? sentence(answer.error);
    const seconds = Math.ceil((answer.retry_after_ms ?? 1000) / 1000);
    return `That was too fast. Try again in ${seconds === 1 ? "a second" : `${seconds} seconds`}.`;
  }

  function appeal(answer) {
    if (answer.code !== "muted" && answer.code !== "banned") return [];
    const link = document.createElement("a");
    link.href = "/account/sanctions";
    link.textContent = "See it, and appeal";
    return [" ", link];
  }

  function send(event, payload, text, succeeded) {
    const order = ++lastSent;
    pending.set(order, text);
    socket.ask(event, payload, (answer) => {
      pending.delete(order);
      if (answer.status === "success") return succeeded?.();
      putBack(text);
      fail(refusal(answer), ...appeal(answer));
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
      if (!to) return fail("Nobody has told you anything yet.");
      const at = to.lastIndexOf("@");
      const who = { to_name: to.slice(0, at), to_game: to.slice(at + 1) };
      send("tells/send", { ...who, message }, text, () => {
        const line = { sent_at: new Date().toISOString(), name: who.to_name, game: who.to_game, message };
        lines.append(lines.makeLine(line, ["You tell ", ":"]), { isOwn: true });
      });
    } else if (/^\/\w/.test(text)) {
      return fail("There are two commands: /tell Name@Game Hello! and /r Hello! to answer the last tell.");
    } else {
      send("channels/send", { channel: chat.dataset.channel, message: text }, text, lines.toEnd);
    }
    input.value = "";
    fit();
    input.focus();
  }

  function told({ from_game, from_name, message, sent_at }) {
    lastTeller = `${from_name}@${from_game}`;
    lines.append(lines.makeLine({ sent_at, name: from_name, game: from_game, message }, ["", " tells you:"]));
  }

  // As high as its lines, up to the limit in the stylesheet.
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
