// The conversations of this browser session. Tells are stored nowhere else. Each tab keeps a copy and shares what it
// adds, so that all tabs show the same, whichever one sent a tell or whichever socket received it.

import { recall, remember } from "./storage.js";

const KEPT = 500; // tells in all conversations

/** Name a conversation: two spellings of a player are the same. */
export const conversationOf = (name, game) => `${name}@${game}`.toLowerCase();

/** Tells by conversation, without storage or tabs. */
export class Book {
  constructor({ tells = [], read = {} } = {}) {
    this.tells = new Map(tells.map((tell) => [tell.id, tell]));
    this.heard = new Map(); // how often this tab received each content
    this.read = { ...read }; // how many received tells were read, by conversation
  }

  /** Add a tell. Returns false if it is known. */
  add(tell) {
    if (this.tells.has(tell.id)) return false;
    this.tells.set(tell.id, tell);
    while (this.tells.size > KEPT) this.tells.delete(this.tells.keys().next().value);
    return true;
  }

  /** Name a received tell, so that tabs which all received it agree. Equal ones are numbered. */
  nameReceived({ name, game, text, sent_at }) {
    const content = `${conversationOf(name, game)}|${sent_at}|${text}`;
    const number = (this.heard.get(content) ?? 0) + 1;
    this.heard.set(content, number);
    return `in|${number}|${content}`;
  }

  of(conversation) {
    return [...this.tells.values()].filter((tell) => conversationOf(tell.name, tell.game) === conversation);
  }

  received(conversation) {
    return this.of(conversation).filter((tell) => !tell.isOwn).length;
  }

  unread(conversation) {
    return Math.max(0, this.received(conversation) - (this.read[conversation] ?? 0));
  }

  /** Mark a conversation as read up to as many received tells. Returns false if nothing changes. */
  markRead(conversation, count = this.received(conversation)) {
    if ((this.read[conversation] ?? 0) >= count) return false;
    this.read[conversation] = count;
    return true;
  }

  /** Return the conversations, the one with the newest tell first, as `{ key, name, game, unread, last }`. */
  conversations() {
    const found = new Map();
    for (const tell of this.tells.values()) {
      const key = conversationOf(tell.name, tell.game);
      found.delete(key);
      found.set(key, { key, name: tell.name, game: tell.game, last: tell });
    }
    return [...found.values()].reverse().map((one) => ({ ...one, unread: this.unread(one.key) }));
  }

  get unreadCount() {
    return this.conversations().reduce((sum, { unread }) => sum + unread, 0);
  }

  get lastReceived() {
    return [...this.tells.values()].reverse().find((tell) => !tell.isOwn) ?? null;
  }

  merge({ tells, read }) {
    let changed = false;
    for (const tell of tells) changed = this.add(tell) || changed;
    for (const [key, count] of Object.entries(read)) changed = this.markRead(key, count) || changed;
    if (changed) this.tells = new Map([...this.tells].sort(([, a], [, b]) => a.sent_at.localeCompare(b.sent_at)));
    return changed;
  }

  toJSON() {
    return { tells: [...this.tells.values()], read: this.read };
  }
}

/** Open the book of this tab, and keep it equal to those of the other tabs of the same account. */
export function openBook(user) {
  const book = new Book(recall("tells", {}));
  const listeners = [];
  const others = "BroadcastChannel" in globalThis ? new BroadcastChannel("gossip-tells") : null;

  function changed(tell) {
    remember("tells", book);
    for (const listener of listeners) listener(tell);
  }

  if (others) {
    others.onmessage = ({ data }) => {
      if (data.user !== user) return;
      if (data.kind === "ask") others.postMessage({ kind: "all", user, ...book.toJSON() });
      else if (data.kind === "all" && book.merge(data)) changed();
    };
    others.postMessage({ kind: "ask", user });
  }
  const share = () => others?.postMessage({ kind: "all", user, ...book.toJSON() });

  return {
    book,
    onChange: (listener) => listeners.push(listener),
    receive({ from_name: name, from_game: game, message: text, sent_at }) {
      const tell = { name, game, text, sent_at, isOwn: false };
      const twin = { ...tell, id: book.nameReceived(tell) };
      if (book.add(twin)) changed(twin);
      return twin;
    },
    sent(name, game, text) {
      const tell = { id: `out|${crypto.randomUUID?.() ?? Math.random()}`, name, game, text, sent_at: new Date().toISOString(), isOwn: true };
      book.add(tell);
      changed(tell);
      share();
    },
    markRead(conversation) {
      if (!book.markRead(conversation)) return;
      changed();
      share();
    },
  };
}
