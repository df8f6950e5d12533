// On every page of somebody who is signed in: holds the socket, so that they are online while they are here, keeps their
// tells, and shows both beside `Chat` in the header.

import { Attention } from "./chat/attention.js";
import { byId, root } from "./chat/dom.js";
import { belongTo } from "./chat/storage.js";
import { conversationOf, openBook } from "./chat/tells.js";
import { openLink } from "./link/link.js";

const mark = byId("chat-mark");
const chat = byId("chat");

export const username = mark.dataset.user;
belongTo(username);

export const attention = new Attention(mark.dataset.icon);
export const tells = openBook(username);
export const link = openLink({
  user: username,
  channel: chat?.dataset.channel,
  options: {
    socket: mark.dataset.socket,
    token: mark.dataset.token,
    silence: Number(mark.dataset.silence),
  },
});

/** Return the address of the conversation with a player. */
export const tellAddress = (name, game) => `${root}/chat/@${encodeURIComponent(name)}@${encodeURIComponent(game)}`;

function showMark() {
  const unread = tells.book.unreadCount;
  const isOnline = link.state.name === "joined";
  mark.hidden = false;
  mark.dataset.kind = isOnline ? "good" : "";
  mark.textContent = unread ? (unread > 99 ? "99+" : String(unread)) : isOnline ? "●" : "○";
  mark.title = `${isOnline ? "You are online" : "Not connected"}${unread ? `, ${unread} unread tell${unread === 1 ? "" : "s"}` : ""}`;
  mark.setAttribute("aria-label", mark.title);
  mark.setAttribute("role", "img");
}

link.onState(showMark);
tells.onChange(showMark);
link.onFrame((event, payload) => {
  if (event !== "tells/receive") return;
  const tell = tells.receive(payload);
  const isOpen = chat?.dataset.tell && conversationOf(...splitTell(chat.dataset.tell)) === conversationOf(tell.name, tell.game);
  if (isOpen && !document.hidden) return;
  attention.call({
    title: `${tell.name}@${tell.game} tells you`,
    body: tell.text,
    tag: tell.id,
    open: () => { location.href = tellAddress(tell.name, tell.game); },
  });
});
showMark();

export function splitTell(address) {
  const at = address.lastIndexOf("@");
  return [address.slice(0, at), address.slice(at + 1)];
}


// Drafts and tells are private: whoever signs in next in this tab must not find them.
document.addEventListener("submit", (event) => {
  if (new URL(event.target.action).pathname === `${root}/sign-out`) belongTo("");
});
