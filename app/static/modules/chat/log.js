// The lines of the current room: new ones, older ones when the reader scrolls up, missed ones. New lines arrive on the
// socket and are inserted as text. All others are fetched from the site as HTML.

import { byId, make } from "./dom.js";
import { isGrouped } from "./grouping.js";
import { dress, groupingOf, makeLine } from "./line.js";
import { dayName } from "./times.js";

const MAX_LINES = 2000; // on the page; older ones are removed
const OVERLAP = 20; // lines may arrive out of order, so refetch some lines before the last one
const GAP_PAGES = 20;

export class Log {
  /**
   * @param {HTMLElement} chat The element with the page's data attributes.
   * @param {object} reader `username`, `mentions(text)` and `isInteractive`, for `dress`.
   */
  constructor(chat, reader) {
    this.chat = chat;
    this.reader = reader;
    this.element = byId("chat-log");
    this.news = byId("chat-news");
    this.toUnread = byId("chat-unread");
    this.onSeen = () => {};
    this.element.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.element.addEventListener("click", (event) => {
      if (event.target.id !== "chat-older" || !this.isLatest) return;
      event.preventDefault();
      event.stopPropagation();
      this.loadOlder();
    });
    this.news.addEventListener("click", () => {
      this.toEnd();
      (byId("chat-text") ?? this.element).focus();
    });
    this.toUnread.addEventListener("click", () => {
      const mark = this.list.querySelector(".new-mark");
      mark?.scrollIntoView({ block: "start" });
      mark?.nextElementSibling?.focus();
      this.toUnread.hidden = true;
    });
    this.adopt();
  }

  /** Use the lines that are now in the page: after loading it, and after another room has replaced them. */
  adopt() {
    this.list = byId("chat-lines");
    this.isLatest = this.chat.dataset.isLatest === "yes";
    this.isLoading = false;
    this.shown = new Map(); // by id
    for (const row of this.list.querySelectorAll("[data-id]")) this.shown.set(Number(row.dataset.id), row);
    for (const row of this.list.querySelectorAll(".line")) dress(row, this.reader);
    this.arrange();
    this.showNews(0);
    const target = this.list.dataset.at && this.shown.get(Number(this.list.dataset.at));
    if (target) {
      target.classList.add("is-here");
      target.scrollIntoView({ block: "center" });
    } else this.toEnd();
    this.offerUnread();
  }

  /** Offer to jump to the first unread line if it is above the visible part. */
  offerUnread() {
    const mark = this.list.querySelector(".new-mark");
    this.toUnread.hidden = !mark || mark.getBoundingClientRect().top >= this.element.getBoundingClientRect().top;
  }

  get lastId() {
    return Math.max(0, ...this.shown.keys());
  }

  get rows() {
    return [...this.element.querySelectorAll(".line:not([hidden])")];
  }

  // Put a heading where a new day begins in the reader's zone, and lines of one speaker under one name.
  arrange() {
    for (const row of this.list.querySelectorAll(".day")) row.remove();
    let day = "";
    let before = null;
    for (const row of [...this.list.children]) {
      if (row.hidden) continue;
      if (!row.classList.contains("line")) {
        before = null;
        continue;
      }
      const moment = new Date(row.querySelector("time").dateTime);
      if (moment.toDateString() !== day) {
        day = moment.toDateString();
        before = null;
        const previous = row.previousElementSibling;
        const heading = make("li", { class: "day" }, make("time", { datetime: row.querySelector("time").dateTime, text: dayName(moment) }));
        (previous?.classList.contains("new-mark") ? previous : row).before(heading);
      }
      const line = groupingOf(row);
      row.classList.toggle("grouped", isGrouped(before, line));
      before = line;
    }
  }

  // Insert a line in the order of ids. Returns false if the line is already on the page.
  place(row) {
    const id = Number(row.dataset.id);
    if (this.shown.has(id)) return false;
    let next = null; // the first line with a greater id
    for (let other = this.list.lastElementChild; other; other = other.previousElementSibling) {
      if (!other.dataset.id) continue;
      if (Number(other.dataset.id) < id) break;
      next = other;
    }
    this.list.insertBefore(row, next);
    this.shown.set(id, row);
    byId("chat-empty")?.remove();
    return true;
  }

  // The log is a reversed column: scrollTop is 0 at the bottom and negative above.
  get isAtEnd() {
    return this.element.scrollTop > -40;
  }

  toEnd() {
    this.element.scrollTop = 0;
  }

  // Change the lines. A reader who has scrolled up still sees the same lines afterwards.
  keepingPosition(change, { atTop = false } = {}) {
    const { element } = this;
    const wasAtEnd = this.isAtEnd;
    const before = { top: element.scrollTop, height: element.scrollHeight };
    change();
    if (!wasAtEnd) element.scrollTop = atTop ? before.top : before.top - (element.scrollHeight - before.height);
    else element.scrollTop = 0;
    return wasAtEnd;
  }

  /** Add a line that has arrived. Returns its row; null if it is already there: it can arrive live and by fillGap. */
  append(line) {
    if (this.shown.has(line.id)) return null;
    const row = dress(makeLine(line), this.reader);
    return this.add(row, () => this.place(row)) && row;
  }

  /** Add a row that is no line of a channel, as a tell, at the end. */
  appendRow(row, { isOwn = false } = {}) {
    this.add(dress(row, this.reader), () => this.list.append(row));
    if (isOwn) this.toEnd();
    return row;
  }

  add(row, insert) {
    const wasAtEnd = this.keepingPosition(() => {
      insert();
      this.arrangeAround(row);
    });
    if (!wasAtEnd) this.showNews(1);
    if (wasAtEnd && this.shown.size > MAX_LINES) this.removeOldest();
    this.onSeen();
    return true;
  }

  // The last line of the same day needs no other line arranged.
  arrangeAround(row) {
    let before = row.previousElementSibling;
    while (before?.hidden) before = before.previousElementSibling;
    const isLast = !row.nextElementSibling;
    const sameDay = (other) => new Date(other.querySelector("time").dateTime).toDateString() === new Date(row.querySelector("time").dateTime).toDateString();
    if (!isLast || !before?.classList.contains("line") || !sameDay(before)) return this.arrange();
    row.classList.toggle("grouped", isGrouped(groupingOf(before), groupingOf(row)));
  }

  /** Remove the text of a line that a moderator redacted. */
  redact(id) {
    const row = this.shown.get(id);
    if (!row || row.hidden) return;
    row.querySelector(".said").replaceChildren(make("span", { class: "soft", text: "(redacted by a moderator)" }));
    row.querySelector(".line-menu")?.remove();
    row.classList.add("redacted");
  }

  removeOldest() {
    for (const [id, row] of [...this.shown].sort(([a], [b]) => a - b).slice(0, this.shown.size - MAX_LINES)) {
      row.remove();
      this.shown.delete(id);
    }
    this.arrange();
    this.offerOlder();
  }

  // Show the link to older lines. Until now there may have been none.
  offerOlder() {
    let older = byId("chat-older");
    if (!older) {
      older = make("a", { id: "chat-older", rel: "prev", text: "Older messages" });
      let paragraph = this.list.previousElementSibling;
      if (!paragraph) this.list.before((paragraph = document.createElement("p")));
      paragraph.className = "chat-more";
      paragraph.replaceChildren(older);
    }
    older.href = `${location.pathname}?before=${Math.min(...this.shown.keys())}`;
  }

  showNews(count) {
    this.unseen = count ? this.unseen + count : 0;
    this.news.hidden = !this.unseen;
    this.news.textContent = this.unseen === 1 ? "1 new message ↓" : `${this.unseen} new messages ↓`;
  }

  async fetchLines(query) {
    const answer = await fetch(`${this.chat.dataset.lines}?${query}`, { cache: "no-store" });
    if (!answer.ok) throw Object.assign(new Error(`status ${answer.status}`), { status: answer.status });
    const fragment = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("ol");
    const rows = [...fragment.querySelectorAll(".line")].map((row) => dress(document.adoptNode(row), this.reader));
    const redacted = fragment.dataset.redacted.split(" ").map(Number);
    return { rows, more: fragment.dataset.more === "yes", redacted };
  }

  // Load older lines when the reader scrolls near the top.
  async loadOlder() {
    const older = byId("chat-older");
    const { list } = this;
    if (!older || this.isLoading || !this.isLatest) return;
    this.isLoading = true;
    try {
      const { rows, more } = await this.fetchLines(`before=${Math.min(...this.shown.keys())}`);
      if (this.list !== list) return; // another room
      this.keepingPosition(() => {
        rows.forEach((row) => this.place(row));
        this.arrange();
      }, { atTop: true });
      if (more) this.offerOlder();
      else older.parentElement.replaceChildren("This is the start of the channel.");
    } catch {
      // The link stays, and the next scroll tries again.
    }
    this.isLoading = false;
  }

  scrolled() {
    if (this.isAtEnd) {
      this.showNews(0);
      this.onSeen();
    }
    if (!this.toUnread.hidden) this.offerUnread();
    const { element } = this;
    if (this.isLatest && this.shown.size && element.scrollHeight - element.clientHeight + element.scrollTop < 200) this.loadOlder();
  }

  /**
   * Fetch the lines and redactions that were missed while disconnected. Lines may arrive on the socket meanwhile; their
   * ids prevent duplicates.
   *
   * @returns {Promise<HTMLElement[] | null>} The rows that were missed; null if there are too many to fetch them all.
   */
  async fillGap() {
    const { list } = this;
    const ids = [...this.shown.keys()].sort((a, b) => a - b);
    let after = ids.at(-OVERLAP - 1) ?? (ids.length ? ids[0] - 1 : 0);
    const missed = [];
    for (let page = 0; page < GAP_PAGES; page += 1) {
      const { rows, more, redacted } = await this.fetchLines(`after=${after}&shown=${ids[0] ?? 0}`);
      if (this.list !== list) return missed; // another room
      redacted.forEach((id) => this.redact(id));
      const fresh = rows.filter((row) => !this.shown.has(Number(row.dataset.id)));
      if (fresh.length) {
        const wasAtEnd = this.keepingPosition(() => {
          fresh.forEach((row) => this.place(row));
          this.arrange();
        });
        const seen = fresh.filter((row) => !row.hidden);
        if (!wasAtEnd && seen.length) this.showNews(seen.length);
        missed.push(...seen);
      }
      if (!more) return missed;
      after = Number(rows.at(-1).dataset.id);
    }
    return null;
  }
}
