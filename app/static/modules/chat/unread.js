// Read and unread lines: how far the reader has read, and the counts beside channels and conversations.

import { byId, make } from "./dom.js";
import { recall, remember } from "./storage.js";

const READ_SECONDS = 2;

export function setBadge(badge, unread) {
  badge.dataset.count = unread;
  badge.hidden = !unread;
  badge.querySelector(".unread-count").textContent = unread > 99 ? "99+" : unread;
}

export const makeBadge = () =>
  make("span", { class: "unread", hidden: true }, make("span", { class: "unread-count" }), make("span", { class: "unseen", text: " unread" }));

export class Unread {
  constructor(chat, log, link) {
    this.chat = chat;
    this.log = log;
    this.link = link;
    this.readTo = 0; // the last id sent to the worker
    this.timer = 0;
    this.changedMeanwhile = new Set(); // channels with new lines since the last request: the site's answer may be older
    addEventListener("pagehide", () => this.sendRead());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.note();
    });
  }

  /** The page shows another room. */
  open() {
    const { channel, channelId } = this.chat.dataset;
    this.readTo = 0;
    if (!channel) return;
    const badge = this.badgeOf(channel);
    if (badge) badge.dataset.isCounted = ""; // from now on, as on the site
    this.count(channel, () => 0, { isHere: true });
    // The site placed the mark by what it knew. Move it below lines that this tab has already shown.
    const mark = document.querySelector("#chat-lines .new-mark");
    if (!mark) return;
    const readHere = recall(`read/${channelId}`, 0);
    const first = this.log.rows.find((row) => Number(row.dataset.id) > readHere);
    const isBelow = first && mark.compareDocumentPosition(first) & Node.DOCUMENT_POSITION_FOLLOWING;
    if (!first) mark.remove();
    else if (isBelow) first.before(mark);
    this.log.arrange();
    this.log.offerUnread();
  }

  get isSeen() {
    return !document.hidden && Boolean(this.chat.dataset.channel) && this.log.isLatest && this.log.isAtEnd && this.log.lastId > 0;
  }

  /** Note that the reader may have seen more lines. */
  note() {
    if (!this.isSeen) return;
    remember(`read/${this.chat.dataset.channelId}`, this.log.lastId);
    this.timer ||= setTimeout(() => this.sendRead(), READ_SECONDS * 1000);
  }

  sendRead() {
    clearTimeout(this.timer);
    this.timer = 0;
    const { lastId } = this.log;
    if (!this.isSeen || lastId <= this.readTo || this.link.state.name !== "joined") return;
    this.readTo = lastId;
    this.link.send("channels/read", { channel: this.chat.dataset.channel, id: lastId });
  }

  badgeOf(channel) {
    return [...document.querySelectorAll("#chat-channel-list a")].find((item) => item.dataset.channel === channel)?.querySelector(".unread");
  }

  count(channel, change, { isHere = channel === this.chat.dataset.channel } = {}) {
    const badge = this.badgeOf(channel);
    if (!badge || !("isCounted" in badge.dataset) || (isHere && change(1) !== 0)) return;
    setBadge(badge, change(Number(badge.dataset.count ?? (parseInt(badge.textContent, 10) || 0))));
  }

  countElsewhere(channel) {
    this.changedMeanwhile.add(channel);
    this.count(channel, (unread) => unread + 1);
  }

  /** Ask the site for the counts. */
  async refresh() {
    const changed = (this.changedMeanwhile = new Set());
    try {
      const answer = await fetch(this.chat.dataset.unread, { cache: "no-store" });
      if (!answer.ok) return;
      for (const [name, unread] of Object.entries(await answer.json())) {
        if (name !== this.chat.dataset.channel) this.count(name, (shown) => (changed.has(name) ? Math.max(shown, unread) : unread));
      }
    } catch {
      // Keep the counts; new lines are still added.
    }
  }

  /** Show the conversations of this session. */
  showTells(conversations, addressOf) {
    const section = byId("chat-tells");
    section.hidden = !conversations.length;
    const here = this.chat.dataset.tell?.toLowerCase();
    byId("chat-tell-list").replaceChildren(
      ...conversations.map(({ key, name, game, unread }) => {
        const badge = makeBadge();
        setBadge(badge, unread);
        const link = make("a", { href: addressOf(name, game), "data-tell": `${name}@${game}`, "aria-current": key === here && "page" });
        link.append(make("span", { class: "tell-name" }, make("bdi", { text: name }), "@", make("bdi", { text: game })), " ", badge);
        return make("li", {}, link);
      }),
    );
  }
}
