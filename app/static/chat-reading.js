// What of the chat is read, and what is not: the marks of this page, of its tab, and of the other channels.
"use strict";

function chatReading(chat, lines) {
  const READ_SECONDS = 2;
  let title = document.title; // begins with the channel
  let socket = null; // once there is one
  let missed = 0; // lines that came while nobody looked
  let readTo = 0; // as the worker was told
  let timer = 0;

  // A tab's own memory; a browser that keeps none for this site does without.
  const key = `chat-read/${chat.dataset.channelId}`;
  function remember(id) {
    try {
      sessionStorage.setItem(key, id);
    } catch {
      // Nothing is kept.
    }
  }
  function readBefore() {
    try {
      return Number(sessionStorage.getItem(key));
    } catch {
      return 0;
    }
  }

  // The mark of what is new stands where the site knew it to be: what this tab has shown since is not new.
  const mark = document.querySelector("#chat-lines .new-mark");
  if (mark) {
    const readHere = readBefore();
    const rows = document.querySelectorAll("#chat-lines .line:not([hidden])");
    const first = [...rows].find((row) => Number(row.dataset.id) > readHere);
    const isFurther = first && mark.compareDocumentPosition(first) & Node.DOCUMENT_POSITION_FOLLOWING;
    if (!first) mark.remove();
    else if (isFurther) first.before(mark);
  }

  const isSeen = () => !document.hidden && lines.isAtEnd() && lines.lastId() > 0;

  function note() {
    if (!isSeen()) return;
    remember(lines.lastId());
    if (socket?.isLive()) timer ||= setTimeout(tell, READ_SECONDS * 1000);
  }

  function tell() {
    clearTimeout(timer);
    timer = 0;
    if (!socket?.isLive() || !isSeen()) return;
    const last = lines.lastId();
    if (last <= readTo) return;
    readTo = last;
    socket.send("channels/read", { channel: chat.dataset.channel, id: last });
  }
  addEventListener("pagehide", tell);

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    missed = 0;
    document.title = title;
    note();
  });

  // A line came on this page's channel.
  function came() {
    if (!document.hidden) return;
    missed += 1;
    document.title = `(${missed}) ${title}`;
  }

  function count(name, change) {
    const link = [...document.querySelectorAll(".chat-channels a")].find((one) => one.dataset.channel === name);
    if (!link || name === chat.dataset.channel) return;
    const badge = link.querySelector(".unread");
    const unread = change(Number(badge.dataset.count ?? (parseInt(badge.textContent, 10) || 0)));
    badge.dataset.count = unread;
    badge.hidden = !unread;
    badge.querySelector(".unread-count").textContent = unread > 99 ? "99+" : unread;
  }

  // The channel is called something else; `chat` says how.
  function renamed(before) {
    title = chat.dataset.channel + title.slice(before.length);
    document.title = missed ? `(${missed}) ${title}` : title;
  }

  let cameMeanwhile = new Set(); // channels on which lines came while the site counts: its answer may be older

  function cameElsewhere(name) {
    cameMeanwhile.add(name);
    count(name, (unread) => unread + 1);
  }

  async function refresh() {
    const came = (cameMeanwhile = new Set());
    try {
      const answer = await fetch(chat.dataset.unread, { cache: "no-store" });
      if (!answer.ok) return;
      for (const [name, unread] of Object.entries(await answer.json())) {
        count(name, (shown) => (came.has(name) ? Math.max(shown, unread) : unread));
      }
    } catch {
      // They are counted on as they come.
    }
  }

  lines.onSeen = note;

  return {
    came,
    cameElsewhere,
    note,
    refresh,
    renamed,
    tellTo: (one) => { socket = one; },
  };
}
