// The lines of a chat page: those it came with, those that are said, older ones when the reader comes near the top, and
// those that were missed. What is not heard live is fetched from the site as HTML; text is only ever put in as text.
"use strict";

function span(kind, text, tag = "span") {
  const piece = document.createElement(tag);
  piece.className = kind;
  piece.append(text);
  return piece;
}

// onSeen: set it to be called when the reader may have seen more.
function chatLines(chat) {
  const log = document.getElementById("chat-log");
  const list = document.getElementById("chat-lines");
  const news = document.getElementById("chat-news");

  const LINES_AT_MOST = 2000; // on the page; the oldest go
  const OVERLAP = 20; // lines may arrive out of order, so a gap begins some lines before the last
  const lines = { onSeen() {} };

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
    if (id !== undefined && !(name === "system" && game === "Grapevine")) body.append(" ", reportLink(id, name));
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

  // False if the line is there already: what fills a gap and what comes live may be the same.
  function append(row, { isOwn = false } = {}) {
    if (row.dataset.id && shown.has(Number(row.dataset.id))) return false;
    let last = list.lastElementChild;
    while (last?.hidden) last = last.previousElementSibling;
    const wasAtEnd = keepingPlace(() => {
      if (row.dataset.id) place(row);
      else list.append(row);
      if (!last || !last.querySelector("time") || dayOf(last) !== dayOf(row)) separateDays();
    });
    if (isOwn) log.scrollTop = 0;
    else if (!wasAtEnd) showNews(1);
    if (wasAtEnd && shown.size > LINES_AT_MOST) forgetOldest();
    lines.onSeen();
    return true;
  }

  // A moderator took the text of a line away.
  function redact(id) {
    const row = shown.get(id);
    if (!row || row.hidden) return;
    row.querySelector(".said").replaceChildren(span("soft", "(redacted by a moderator)"));
    row.querySelector(".report")?.remove();
  }

  function forgetOldest() {
    for (const [id, row] of [...shown].sort(([a], [b]) => a - b).slice(0, shown.size - LINES_AT_MOST)) {
      row.remove();
      shown.delete(id);
    }
    separateDays();
    offerOlder();
  }

  // There may have been no older ones until now.
  function offerOlder() {
    let older = document.getElementById("chat-older");
    if (!older) {
      older = document.createElement("a");
      older.id = "chat-older";
      older.rel = "prev";
      older.textContent = "Older lines";
      let place = list.previousElementSibling;
      if (!place) list.before((place = document.createElement("p")));
      place.className = "chat-more";
      place.replaceChildren(older);
    }
    older.href = `${location.pathname}?before=${Math.min(...shown.keys())}`;
  }

  let waiting = 0; // lines below what is seen
  function showNews(count) {
    waiting = count ? waiting + count : 0;
    news.hidden = !waiting;
    news.textContent = waiting === 1 ? "1 new line ↓" : `${waiting} new lines ↓`;
  }
  news.addEventListener("click", () => {
    log.scrollTop = 0;
    (document.getElementById("chat-text") ?? log).focus();
  });

  async function fetchLines(query) {
    const answer = await fetch(`${chat.dataset.lines}?${query}`, { cache: "no-store" });
    if (!answer.ok) throw Object.assign(new Error(`status ${answer.status}`), { status: answer.status });
    const found = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("ol");
    const rows = [...found.querySelectorAll(".line")].map((row) => document.adoptNode(row));
    rows.forEach(localize);
    const redacted = found.dataset.redacted.split(" ").map(Number);
    return { rows, more: found.dataset.more === "yes", redacted };
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
      if (more) offerOlder();
      else older.parentElement.replaceChildren("Here the channel begins.");
    } catch {
      // The link is still there, and so is the next time somebody scrolls.
    }
    isLoading = false;
  }

  const isNow = !/[?&](before|after)=/.test(location.search);
  if (isNow) {
    log.addEventListener("click", (event) => {
      if (event.target.id !== "chat-older") return;
      event.preventDefault();
      loadOlder();
    });
  }
  log.addEventListener("scroll", () => {
    if (isAtEnd()) {
      showNews(0);
      lines.onSeen();
    }
    if (isNow && log.scrollHeight - log.clientHeight + log.scrollTop < 200) loadOlder();
  }, { passive: true });

  // What was said while this page heard nothing, and what was redacted; what comes by the socket meanwhile has ids too.
  // False if that is too much to fetch: days were missed.
  async function fillGap() {
    const ids = [...shown.keys()].sort((a, b) => a - b);
    let after = ids.at(-OVERLAP - 1) ?? (ids.length ? ids[0] - 1 : 0);
    for (let page = 0; page < 20; page += 1) {
      const { rows, more, redacted } = await fetchLines(`after=${after}&shown=${ids[0] ?? 0}`);
      redacted.forEach(redact);
      const fresh = rows.filter((row) => !shown.has(Number(row.dataset.id)));
      if (fresh.length) {
        const wasAtEnd = keepingPlace(() => {
          fresh.forEach(place);
          separateDays();
        });
        const seen = fresh.filter((row) => !row.hidden).length;
        if (!wasAtEnd && seen) showNews(seen);
      }
      if (!more) return true;
      after = Number(rows.at(-1).dataset.id);
    }
    return false;
  }

  list.querySelectorAll(".line").forEach(localize);
  separateDays();

  return Object.assign(lines, {
    append,
    fillGap,
    isAtEnd,
    makeLine,
    redact,
    lastId: () => Math.max(0, ...shown.keys()),
    toEnd: () => { log.scrollTop = 0; },
  });
}
