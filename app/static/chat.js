// A chat page, live. Lines come over the worker's socket (docs/browser-chat.md); what was missed, and what is older, is
// fetched from the site as HTML. Text is only ever put into the page as text.
"use strict";

(() => {
  const chat = document.getElementById("chat");
  const log = document.getElementById("chat-log");
  const list = document.getElementById("chat-lines");
  const state = document.getElementById("chat-state");
  const news = document.getElementById("chat-news");
  const form = document.getElementById("chat-form");
  const input = document.getElementById("chat-text");
  const problem = document.getElementById("chat-problem");
  const channel = chat.dataset.channel;
  const title = document.title;

  const LINES_AT_MOST = 2000; // on the page; the oldest go
  const OVERLAP = 20; // lines may arrive out of order, so a gap begins some lines before the last
  const LONGEST_SECONDS = 60;
  const READ_SECONDS = 2;
  const HERE_SECONDS = 30;

  // Lines

  const shown = new Map(); // by id
  for (const row of list.querySelectorAll("[data-id]")) shown.set(Number(row.dataset.id), row);

  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
  const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
  const days = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });

  // Put times into the reader's zone.
  function localize(row) {
    if (row.hidden) return; // of somebody whom the reader ignores: its place alone
    const time = row.querySelector("time");
    const moment = new Date(time.dateTime);
    time.textContent = clock.format(moment);
    time.title = whole.format(moment);
  }

  function dayOf(row) {
    return new Date(row.querySelector("time").dateTime).toDateString();
  }

  // A heading wherever a new day begins, as the reader's calendar has it.
  function separateDays() {
    for (const row of list.querySelectorAll(".day")) row.remove();
    let day = "";
    for (const row of [...list.querySelectorAll(".line:not([hidden])")]) {
      if (dayOf(row) === day) continue;
      day = dayOf(row);
      const separator = document.createElement("li");
      separator.className = "day";
      const time = document.createElement("time");
      time.dateTime = row.querySelector("time").dateTime;
      time.textContent = days.format(new Date(time.dateTime));
      separator.append(time);
      const before = row.previousElementSibling;
      (before?.classList.contains("new-mark") ? before : row).before(separator);
    }
  }

  // The same rules as app/chat/text.py.
  function linked(text) {
    const pieces = document.createDocumentFragment();
    let end = 0;
    for (const found of text.matchAll(/https?:\/\/[^\s<>"']+/gi)) {
      const address = withoutPunctuation(found[0]);
      if (!address.includes("://") || address.length <= "https://".length) continue;
      const link = document.createElement("a");
      link.href = address;
      link.rel = "nofollow noopener ugc";
      link.target = "_blank";
      link.textContent = address;
      pieces.append(text.slice(end, found.index), link);
      end = found.index + address.length;
    }
    pieces.append(text.slice(end));
    return pieces;
  }

  function withoutPunctuation(address) {
    const unpaired = {};
    for (const pair of ["()", "[]", "{}"]) {
      unpaired[pair[1]] = address.split(pair[1]).length - address.split(pair[0]).length;
    }
    let end = address.length;
    for (; end; end -= 1) {
      const last = address[end - 1];
      if (unpaired[last] > 0) unpaired[last] -= 1;
      else if (!".,;:!?*_~".includes(last)) break;
    }
    return address.slice(0, end);
  }

  function span(kind, text, tag = "span") {
    const piece = document.createElement(tag);
    piece.className = kind;
    piece.append(text);
    return piece;
  }

  function reportLink(id, name) {
    const link = span("report", "report", "a");
    link.href = `/report?message=${id}`;
    link.append(span("unseen", ` what ${name} said`));
    return link;
  }

  // around: what stands before and after the name, of a tell.
  function makeLine({ id, sent_at, name, game, message }, around) {
    const row = document.createElement("li");
    row.className = around ? "line tell" : "line";
    if (id !== undefined) row.dataset.id = id;
    const time = document.createElement("time");
    time.dateTime = sent_at;
    const body = document.createElement("p");
    const [before, after] = around ?? ["", ""];
    body.append(before, span("who", name, "b"), span("from", "@" + game), `${after} `, span("said", linked(message)));
    if (id !== undefined) body.append(" ", reportLink(id, name));
    row.append(time, body);
    localize(row);
    return row;
  }

  // Put a line where its id belongs. False if it is there already.
  function place(row) {
    const id = Number(row.dataset.id);
    if (shown.has(id)) return false;
    let next = null; // the first line with a greater id
    for (let other = list.lastElementChild; other; other = other.previousElementSibling) {
      if (!other.dataset.id) continue;
      if (Number(other.dataset.id) < id) break;
      next = other;
    }
    list.insertBefore(row, next);
    shown.set(id, row);
    document.getElementById("chat-empty")?.remove();
    return true;
  }

  // The log is laid out from its end, so that 0 is the bottom, and what is above has negative places.
  const isAtEnd = () => log.scrollTop > -40;

  // Change the lines; who has scrolled up sees the same lines as before.
  function keepingPlace(change, { atTop = false } = {}) {
    const wasAtEnd = isAtEnd();
    const before = { top: log.scrollTop, height: log.scrollHeight };
    change();
    if (!wasAtEnd) log.scrollTop = atTop ? before.top : before.top - (log.scrollHeight - before.height);
    else log.scrollTop = 0;
    return wasAtEnd;
  }

  function append(row, { isOwn = false } = {}) {
    let last = list.lastElementChild;
    while (last?.hidden) last = last.previousElementSibling;
    const wasAtEnd = keepingPlace(() => {
      if (row.dataset.id ? !place(row) : (list.append(row), false)) return;
      if (!last || !last.querySelector("time") || dayOf(last) !== dayOf(row)) separateDays();
    });
    if (isOwn) log.scrollTop = 0;
    else if (!wasAtEnd) showNews(1);
    if (wasAtEnd && shown.size > LINES_AT_MOST) forgetOldest();
    noteRead();
  }

  function forgetOldest() {
    for (const [id, row] of [...shown].sort(([a], [b]) => a - b).slice(0, shown.size - LINES_AT_MOST)) {
      row.remove();
      shown.delete(id);
    }
    separateDays();
    const older = document.getElementById("chat-older");
    if (older) older.href = `${location.pathname}?before=${Math.min(...shown.keys())}`;
  }

  let waiting = 0; // lines below what is seen
  function showNews(count) {
    waiting = count ? waiting + count : 0;
    news.hidden = !waiting;
    news.textContent = waiting === 1 ? "1 new line ↓" : `${waiting} new lines ↓`;
  }
  news.addEventListener("click", () => {
    log.scrollTop = 0;
    (input ?? log).focus();
  });

  async function fetchLines(query) {
    const answer = await fetch(`${chat.dataset.lines}?${query}`, { cache: "no-store" });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const found = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("ol");
    const rows = [...found.querySelectorAll(".line")].map((row) => document.adoptNode(row));
    rows.forEach(localize);
    return { rows, more: found.dataset.more === "yes" };
  }

  // What is loaded in bulk is not read out line by line.
  function quietly(change) {
    log.setAttribute("aria-live", "off");
    change();
    setTimeout(() => log.removeAttribute("aria-live"), 1000);
  }

  // Older lines, when the reader comes near the top

  let isLoading = false;
  async function loadOlder() {
    const older = document.getElementById("chat-older");
    if (!older || isLoading) return;
    isLoading = true;
    try {
      const { rows, more } = await fetchLines(`before=${Math.min(...shown.keys())}`);
      quietly(() => keepingPlace(() => {
        rows.forEach(place);
        separateDays();
      }, { atTop: true }));
      if (more) older.href = `${location.pathname}?before=${Math.min(...shown.keys())}`;
      else older.parentElement.replaceChildren("Here the channel begins.");
    } catch {
      // The link is still there, and so is the next time somebody scrolls.
    }
    isLoading = false;
  }

  const isNow = !/[?&](before|after)=/.test(location.search);
  if (isNow) {
    document.getElementById("chat-older")?.addEventListener("click", (event) => {
      event.preventDefault();
      loadOlder();
    });
  }
  log.addEventListener("scroll", () => {
    if (isAtEnd()) {
      showNews(0);
      noteRead();
    }
    if (isNow && log.scrollHeight - log.clientHeight + log.scrollTop < 200) loadOlder();
  }, { passive: true });

  // A tab's own memory; a browser that keeps none for this site does without.
  const readKey = `chat-read/${channel}`;
  function rememberRead(id) {
    try {
      sessionStorage.setItem(readKey, id);
    } catch {
      // Nothing is kept.
    }
  }
  function readBefore() {
    try {
      return Number(sessionStorage.getItem(readKey));
    } catch {
      return 0;
    }
  }

  // The mark of what is new stands where the site knew it to be: what this tab has shown since is not new.
  const mark = list.querySelector(".new-mark");
  if (mark) {
    const readHere = readBefore();
    const first = [...list.querySelectorAll(".line:not([hidden])")].find((row) => Number(row.dataset.id) > readHere);
    const isFurther = first && mark.compareDocumentPosition(first) & Node.DOCUMENT_POSITION_FOLLOWING;
    if (!first) mark.remove();
    else if (isFurther) first.before(mark);
  }
  list.querySelectorAll(".line").forEach(localize);
  separateDays();

  const wide = matchMedia("(min-width: 62rem)");
  const here = document.getElementById("chat-here");
  const unfold = () => { here.open = wide.matches; };
  wide.addEventListener("change", unfold);
  unfold();
  document.querySelector('.chat-channels [aria-current="page"]')?.scrollIntoView({ block: "nearest", inline: "center" });

  if (!chat.dataset.socket) return;

  // The socket

  let socket = null;
  let isLive = false;
  let attempt = 0;
  let timer = 0;
  let lastRef = 0;
  const asked = new Map(); // by ref: what to do with the answer

  function say(text, kind = "") {
    state.textContent = text;
    state.dataset.kind = kind;
  }

  function ask(event, payload, answered) {
    lastRef += 1;
    if (answered) asked.set(lastRef, answered);
    socket.send(JSON.stringify({ event, ref: lastRef, payload }));
  }

  async function connect() {
    clearTimeout(timer);
    timer = 0;
    say(attempt ? "Connecting again…" : "Connecting…");
    let token;
    try {
      const answer = await fetch(chat.dataset.token, { cache: "no-store" });
      if (answer.status === 401) return signedOut();
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      ({ token } = await answer.json());
    } catch {
      return later();
    }
    const opened = new WebSocket(chat.dataset.socket);
    socket = opened;
    opened.onopen = () => {
      const channels = [...document.querySelectorAll(".chat-channels a")].map((link) => link.dataset.channel);
      // This page's own first: a worker lets a page hear so many.
      const wanted = [channel, ...channels.filter((name) => name !== channel)].slice(0, 100);
      ask("authenticate", { token, channels: wanted }, signedIn);
    };
    opened.onmessage = (message) => receive(JSON.parse(message.data));
    opened.onclose = (event) => {
      if (socket === opened) lost(event.code);
    };
  }

  async function signedIn(answer) {
    if (answer.status !== "success") {
      say(sentence(answer.error), "bad");
      if (answer.code === "rate-limited") attempt = Math.max(attempt, 6); // too many pages: that takes a while to change
      return;
    }
    try {
      await fillGap();
    } catch {
      return socket.close(); // and try again
    }
    isLive = true;
    attempt = 0;
    say("Live", "good");
    form.hidden = false;
    askWhoHears();
    refreshUnread();
    noteRead();
  }

  // What was said while this page heard nothing; what comes by the socket meanwhile has ids too.
  async function fillGap() {
    const ids = [...shown.keys()].sort((a, b) => a - b);
    let after = ids.at(-OVERLAP - 1) ?? (ids.length ? ids[0] - 1 : 0);
    for (let page = 0; page < 20; page += 1) {
      const { rows, more } = await fetchLines(`after=${after}`);
      const fresh = rows.filter((row) => !shown.has(Number(row.dataset.id)));
      if (fresh.length) {
        const wasAtEnd = keepingPlace(() => {
          fresh.forEach(place);
          separateDays();
        });
        const seen = fresh.filter((row) => !row.hidden).length;
        if (!wasAtEnd && seen) showNews(seen);
      }
      if (!more) return;
      after = Number(rows.at(-1).dataset.id);
    }
    location.reload(); // days were missed
  }

  function lost(code) {
    isLive = false;
    socket = null;
    asked.clear();
    giveBack();
    later(code);
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

  function signedOut() {
    say("You are signed out.", "bad");
    const link = document.createElement("a");
    link.href = `/sign-in?next=${encodeURIComponent(location.pathname)}`;
    link.textContent = "Sign in";
    state.append(" ", link);
    form.hidden = true;
  }

  function receive(frame) {
    const { event, payload } = frame;
    if (frame.ref !== undefined && asked.has(frame.ref)) {
      const answered = asked.get(frame.ref);
      asked.delete(frame.ref);
      return answered(frame);
    }
    if (event === "heartbeat") socket.send('{"event":"heartbeat"}');
    else if (event === "channels/broadcast") hear(payload);
    else if (event === "tells/receive") told(payload);
    else if (event === "channels/closed") closed(payload.id);
    else if (event === "restart") say("The chat restarts, and comes back by itself.");
  }

  function hear(line) {
    if (line.channel !== channel) {
      countUnread(line.channel, (count) => count + 1);
      return;
    }
    append(makeLine(line));
    if (document.hidden) {
      missed += 1;
      document.title = `(${missed}) ${title}`;
    }
  }

  function closed(id) {
    if (String(id) !== chat.dataset.channelId) return;
    say("This channel is not public any more.", "bad");
    form.hidden = true;
  }

  // What is unread, here and elsewhere

  let missed = 0;
  let readTo = 0; // as the worker was told // as the worker was told
  let readTimer = 0;

  function noteRead() {
    if (document.hidden || !isAtEnd() || !shown.size) return;
    rememberRead(Math.max(...shown.keys()));
    if (isLive) readTimer ||= setTimeout(sendRead, READ_SECONDS * 1000);
  }

  function sendRead() {
    clearTimeout(readTimer);
    readTimer = 0;
    if (!isLive || document.hidden || !isAtEnd() || !shown.size) return;
    const last = Math.max(...shown.keys());
    if (last <= readTo) return;
    readTo = last;
    socket.send(JSON.stringify({ event: "channels/read", payload: { channel, id: last } }));
  }
  addEventListener("pagehide", () => {
    sendRead();
    socket?.close(); // a page that is kept to go back to connects again
  });
  addEventListener("pageshow", (event) => {
    if (event.persisted) tryNow();
  });

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    missed = 0;
    document.title = title;
    noteRead();
    tryNow();
    if (isLive) askWhoHears();
  });

  function countUnread(name, change) {
    const link = [...document.querySelectorAll(".chat-channels a")].find((one) => one.dataset.channel === name);
    if (!link || name === channel) return;
    const badge = link.querySelector(".unread");
    const count = change(Number(badge.dataset.count ?? (parseInt(badge.textContent, 10) || 0)));
    badge.dataset.count = count;
    badge.hidden = !count;
    badge.querySelector(".unread-count").textContent = count > 99 ? "99+" : count;
  }

  async function refreshUnread() {
    try {
      const answer = await fetch(chat.dataset.unread, { cache: "no-store" });
      if (!answer.ok) return;
      for (const [name, count] of Object.entries(await answer.json())) countUnread(name, () => count);
    } catch {
      // They are counted on as they come.
    }
  }

  // Who hears this

  let hereTimer = 0;
  function askWhoHears() {
    clearTimeout(hereTimer);
    ask("channels/listeners", { channel }, ({ payload }) => {
      if (!payload) return;
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
      if (isLive && !document.hidden) askWhoHears();
    }, HERE_SECONDS * 1000);
  }

  // Speaking

  const pending = new Map(); // by its order: what was sent and has no answer yet
  let lastSent = 0;
  let lastTeller = "";

  function sentence(text) {
    const full = text[0].toUpperCase() + text.slice(1);
    return /[.!?]$/.test(full) ? full : full + ".";
  }

  function fail(text) {
    problem.textContent = "";
    problem.textContent = text;
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

  function refusal(answer) {
    if (answer.code !== "rate-limited") return wrong[answer.code] ?? sentence(answer.error);
    const seconds = Math.ceil((answer.retry_after_ms ?? 1000) / 1000);
    return `That was too fast. Try again in ${seconds === 1 ? "a second" : `${seconds} seconds`}.`;
  }

  function send(event, payload, text, succeeded) {
    const order = ++lastSent;
    pending.set(order, text);
    ask(event, payload, (answer) => {
      pending.delete(order);
      if (answer.status === "success") return succeeded?.();
      putBack(text);
      fail(refusal(answer));
    });
  }

  function submit() {
    const text = input.value.trim();
    fail("");
    if (!text) return input.focus();
    if (!isLive) return fail("Not connected just now. What you typed stays here: send it when you are live again.");
    const tell = /^\/(?:tell\s+([^@]+)@(\S+)|r(?:eply)?)\s+([^]+)$/i.exec(text);
    if (tell) {
      const [, name, game, message] = tell;
      const to = name ? `${name.trim()}@${game}` : lastTeller;
      if (!to) return fail("Nobody has told you anything yet.");
      const at = to.lastIndexOf("@");
      const who = { to_name: to.slice(0, at), to_game: to.slice(at + 1) };
      send("tells/send", { ...who, message }, text, () => {
        const line = { sent_at: new Date().toISOString(), name: who.to_name, game: who.to_game, message };
        append(makeLine(line, ["You tell ", ":"]), { isOwn: true });
      });
    } else if (/^\/\w/.test(text)) {
      return fail("There are two commands: /tell Name@Game Hello! and /r Hello! to answer the last tell.");
    } else {
      send("channels/send", { channel, message: text }, text, () => { log.scrollTop = 0; });
    }
    input.value = "";
    fit();
    input.focus();
  }

  function told({ from_game, from_name, message, sent_at }) {
    lastTeller = `${from_name}@${from_game}`;
    append(makeLine({ sent_at, name: from_name, game: from_game, message }, ["", " tells you:"]));
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
  connect();
})();
