// The lines of a chat page: those loaded with it, new ones, older ones when the reader scrolls up, and missed ones.
// New lines arrive on the socket and are inserted as text. All others are fetched from the site as HTML.
"use strict";

function span(kind, text, tag = "span") {
  const piece = document.createElement(tag);
  piece.className = kind;
  piece.append(text);
  return piece;
}

/**
 * Manage the lines of a chat page.
 *
 * @param {HTMLElement} chat The element with the page's data attributes.
 * @returns The functions below. Set `onSeen` to a function to call when the reader may have seen more lines.
 */
function chatLines(chat) {
  const log = document.getElementById("chat-log");
  const list = document.getElementById("chat-lines");
  const news = document.getElementById("chat-news");

  const MAX_LINES = 2000; // on the page; older ones are removed
  const OVERLAP = 20; // lines may arrive out of order, so refetch some lines before the last one
  const lines = { onSeen() {} };

  const shown = new Map(); // by id
  for (const row of list.querySelectorAll("[data-id]")) shown.set(Number(row.dataset.id), row);

  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
  const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
  const days = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });

  // Show the time in the reader's time zone.
  function localize(row) {
    if (row.hidden) return; // a line of somebody whom the reader ignores: it has only an id
    const time = row.querySelector("time");
    const moment = new Date(time.dateTime);
    time.textContent = clock.format(moment);
    time.title = whole.format(moment);
  }

  function dayOf(row) {
    return new Date(row.querySelector("time").dateTime).toDateString();
  }

  // Insert a heading where a new day begins in the reader's time zone.
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

  // Turn web addresses into links, with the same rules as app/chat/text.py.
  function linked(text) {
    const pieces = document.createDocumentFragment();
    let end = 0;
    for (const match of text.matchAll(/https?:\/\/[^\s<>"']+/gi)) {
      const address = withoutPunctuation(match[0]);
      if (!address.includes("://") || address.length <= "https://".length) continue;
      const link = document.createElement("a");
      link.href = address;
      link.rel = "nofollow noopener ugc";
      link.target = "_blank";
      link.textContent = address;
      pieces.append(text.slice(end, match.index), link);
      end = match.index + address.length;
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
    link.href = `${document.body.dataset.root}/report?message=${id}`;
    link.append(span("unseen", ` what ${name} said`));
    return link;
  }

  // around: for a tell, the texts before and after the name.
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

  // Insert a line in the order of ids. Returns false if the line is already on the page.
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

  // The log is a reversed column: scrollTop is 0 at the bottom and negative above.
  const isAtEnd = () => log.scrollTop > -40;

  // Change the lines. A reader who has scrolled up still sees the same lines afterwards.
  function keepingPosition(change, { atTop = false } = {}) {
    const wasAtEnd = isAtEnd();
    const before = { top: log.scrollTop, height: log.scrollHeight };
    change();
    if (!wasAtEnd) log.scrollTop = atTop ? before.top : before.top - (log.scrollHeight - before.height);
    else log.scrollTop = 0;
    return wasAtEnd;
  }

  // Add a new line at the end. Returns false if it is already on the page, since a line can arrive live and by fillGap.
  function append(row, { isOwn = false } = {}) {
    if (row.dataset.id && shown.has(Number(row.dataset.id))) return false;
    let last = list.lastElementChild;
    while (last?.hidden) last = last.previousElementSibling;
    const wasAtEnd = keepingPosition(() => {
      if (row.dataset.id) place(row);
      else list.append(row);
      if (!last || !last.querySelector("time") || dayOf(last) !== dayOf(row)) separateDays();
    });
    if (isOwn) log.scrollTop = 0;
    else if (!wasAtEnd) showNews(1);
    if (wasAtEnd && shown.size > MAX_LINES) removeOldest();
    lines.onSeen();
    return true;
  }

  // Remove the text of a line that a moderator redacted.
  function redact(id) {
    const row = shown.get(id);
    if (!row || row.hidden) return;
    row.querySelector(".said").replaceChildren(span("soft", "(redacted by a moderator)"));
    row.querySelector(".report")?.remove();
  }

  function removeOldest() {
    for (const [id, row] of [...shown].sort(([a], [b]) => a - b).slice(0, shown.size - MAX_LINES)) {
      row.remove();
      shown.delete(id);
    }
    separateDays();
    offerOlder();
  }

  // Show the link to older lines. Until now there may have been none.
  function offerOlder() {
    let older = document.getElementById("chat-older");
    if (!older) {
      older = document.createElement("a");
      older.id = "chat-older";
      older.rel = "prev";
      older.textContent = "Older messages";
      let paragraph = list.previousElementSibling;
      if (!paragraph) list.before((paragraph = document.createElement("p")));
      paragraph.className = "chat-more";
      paragraph.replaceChildren(older);
    }
    older.href = `${location.pathname}?before=${Math.min(...shown.keys())}`;
  }

  let unseen = 0; // new lines below the visible part
  function showNews(count) {
    unseen = count ? unseen + count : 0;
    news.hidden = !unseen;
    news.textContent = unseen === 1 ? "1 new message ↓" : `${unseen} new messages ↓`;
  }
  news.addEventListener("click", () => {
    log.scrollTop = 0;
    (document.getElementById("chat-text") ?? log).focus();
  });

  async function fetchLines(query) {
    const answer = await fetch(`${chat.dataset.lines}?${query}`, { cache: "no-store" });
    if (!answer.ok) throw Object.assign(new Error(`status ${answer.status}`), { status: answer.status });
    const fragment = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("ol");
    const rows = [...fragment.querySelectorAll(".line")].map((row) => document.adoptNode(row));
    rows.forEach(localize);
    const redacted = fragment.dataset.redacted.split(" ").map(Number);
    return { rows, more: fragment.dataset.more === "yes", redacted };
  }

  // Stop screen readers from reading lines that are loaded in bulk.
  function quietly(change) {
    log.setAttribute("aria-live", "off");
    change();
    setTimeout(() => log.removeAttribute("aria-live"), 1000);
  }

  // Load older lines when the reader scrolls near the top.

  let isLoading = false;
  async function loadOlder() {
    const older = document.getElementById("chat-older");
    if (!older || isLoading) return;
    isLoading = true;
    try {
      const { rows, more } = await fetchLines(`before=${Math.min(...shown.keys())}`);
      quietly(() => keepingPosition(() => {
        rows.forEach(place);
        separateDays();
      }, { atTop: true }));
      if (more) offerOlder();
      else older.parentElement.replaceChildren("This is the start of the channel.");
    } catch {
      // The link stays, and the next scroll tries again.
    }
    isLoading = false;
  }

  const isLatest = !/[?&](before|after)=/.test(location.search);
  if (isLatest) {
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
    if (isLatest && log.scrollHeight - log.clientHeight + log.scrollTop < 200) loadOlder();
  }, { passive: true });

  // Fetch the lines and redactions that were missed while disconnected. Lines may arrive on the socket meanwhile; their
  // ids prevent duplicates. Returns false if too much was missed to fetch it all.
  async function fillGap() {
    const ids = [...shown.keys()].sort((a, b) => a - b);
    let after = ids.at(-OVERLAP - 1) ?? (ids.length ? ids[0] - 1 : 0);
    for (let page = 0; page < 20; page += 1) {
      const { rows, more, redacted } = await fetchLines(`after=${after}&shown=${ids[0] ?? 0}`);
      redacted.forEach(redact);
      const fresh = rows.filter((row) => !shown.has(Number(row.dataset.id)));
      if (fresh.length) {
        const wasAtEnd = keepingPosition(() => {
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
