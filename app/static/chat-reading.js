// Read and unread lines: the mark on this page, the count in the tab's title, and the counts of other channels.
"use strict";

/**
 * Keep track of what the reader has seen, and show what is unread.
 *
 * @param {HTMLElement} chat The element with the page's data attributes.
 * @param {object} lines The lines of the page, from chatLines().
 */
function chatReading(chat, lines) {
  const READ_SECONDS = 2;
  let title = document.title; // starts with the channel's name
  let socket = null; // set by useSocket
  let missed = 0; // lines that arrived while the page was not visible
  let readTo = 0; // the last id sent to the worker
  let timer = 0;

  // Remembered per tab, if the browser allows it.
  const key = `chat-read/${chat.dataset.channelId}`;
  function remember(id) {
    try {
      sessionStorage.setItem(key, id);
    } catch {
      // Storage is blocked.
    }
  }
  function readBefore() {
    try {
      return Number(sessionStorage.getItem(key));
    } catch {
      return 0;
    }
  }

  // The site placed the mark by what it knew. Move it below lines that this tab has already shown.
  const mark = document.querySelector("#chat-lines .new-mark");
  if (mark) {
    const readHere = readBefore();
    const rows = document.querySelectorAll("#chat-lines .line:not([hidden])");
    const first = [...rows].find((row) => Number(row.dataset.id) > readHere);
    const isBelow = first && mark.compareDocumentPosition(first) & Node.DOCUMENT_POSITION_FOLLOWING;
    if (!first) mark.remove();
    else if (isBelow) first.before(mark);
  }

  const isSeen = () => !document.hidden && lines.isAtEnd() && lines.lastId() > 0;

  function note() {
    if (!isSeen()) return;
    remember(lines.lastId());
    if (socket?.isLive()) timer ||= setTimeout(sendRead, READ_SECONDS * 1000);
  }

  function sendRead() {
    clearTimeout(timer);
    timer = 0;
    if (!socket?.isLive() || !isSeen()) return;
    const last = lines.lastId();
    if (last <= readTo) return;
    readTo = last;
    socket.send("channels/read", { channel: chat.dataset.channel, id: last });
  }
  addEventListener("pagehide", sendRead);

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    missed = 0;
    document.title = title;
    note();
  });

  // Count a new line on this page's channel.
  function countHere() {
    if (!document.hidden) return;
    missed += 1;
    document.title = `(${missed}) ${title}`;
  }

  function count(name, change) {
    const link = [...document.querySelectorAll(".chat-channels a")].find((item) => item.dataset.channel === name);
    if (!link || name === chat.dataset.channel) return;
    const badge = link.querySelector(".unread");
    const unread = change(Number(badge.dataset.count ?? (parseInt(badge.textContent, 10) || 0)));
    badge.dataset.count = unread;
    badge.hidden = !unread;
    badge.querySelector(".unread-count").textContent = unread > 99 ? "99+" : unread;
  }

  // Put the channel's new name, which is already in `chat`, into the title.
  function renamed(before) {
    title = chat.dataset.channel + title.slice(before.length);
    document.title = missed ? `(${missed}) ${title}` : title;
  }

  let changedMeanwhile = new Set(); // channels with new lines since the last request: the site's answer may be older

  function countElsewhere(name) {
    changedMeanwhile.add(name);
    count(name, (unread) => unread + 1);
  }

  async function refresh() {
    const changed = (changedMeanwhile = new Set());
    try {
      const answer = await fetch(chat.dataset.unread, { cache: "no-store" });
      if (!answer.ok) return;
      for (const [name, unread] of Object.entries(await answer.json())) {
        count(name, (shown) => (changed.has(name) ? Math.max(shown, unread) : unread));
      }
    } catch {
      // Keep the counts; new lines are still added.
    }
  }

  lines.onSeen = note;

  return {
    countHere,
    countElsewhere,
    note,
    refresh,
    renamed,
    useSocket: (value) => { socket = value; },
  };
}
