// The chat of somebody who is signed in. One live page: rooms (channels and conversations) are exchanged without a load,
// and everything else stays. Connects the log, the input, the outbox, the socket and the tells.

import { attention, link, splitTell, tellAddress, tells, username } from "../live.js";
import { ignore, itemsFor } from "./acts.js";
import { Announcer } from "./announcer.js";
import { parse } from "./commands.js";
import { Composer } from "./composer.js";
import { byId, make, root } from "./dom.js";
import { chooseRoom, showHelp } from "./help.js";
import { handleKeys } from "./keys.js";
import { addressOf, isNotice, makeTell } from "./line.js";
import { Limits } from "./limits.js";
import { Listeners } from "./listeners.js";
import { Log } from "./log.js";
import { attachMenu } from "./menu.js";
import { Outbox } from "./outbox.js";
import { conversationOf } from "./tells.js";
import { mentionOf, withoutTags } from "./text.js";
import { Unread } from "./unread.js";

const NOT_CONNECTED = "You are not connected. Your text is kept: send it when you are live again.";
const GAP_SECONDS = 3; // between two attempts to fetch what was missed

const chat = byId("chat");
const state = byId("chat-state");
const mentions = mentionOf(username);
const log = new Log(chat, { username, mentions, isInteractive: true });
const announcer = new Announcer();
const unread = new Unread(chat, log, link);
const listeners = new Listeners(chat, link);
const limits = new Limits(chat, showState);
const composer = new Composer(submit, namesToComplete);
const outbox = new Outbox({
  username,
  appeal: `${root}/account/sanctions`,
  async send(entry) {
    if (!entry.tell) return link.ask("channels/send", { channel: entry.channel, message: entry.message });
    const { name, game } = entry.tell;
    const answer = await link.ask("tells/send", { to_name: name, to_game: game, message: entry.message });
    if (answer.status === "success") {
      tells.sent(name, game, entry.message);
      if (entry.room === roomName() && !chat.dataset.tell) notice(`You tell ${name}@${game}: ${entry.message}`);
    }
    return answer;
  },
  edit: (entry) => composer.putBack(entry.text),
  failed(problem, entry) {
    if (entry.room !== roomName()) composer.fail(`Not sent on ${entry.channel ?? entry.tell.name}: ${problem}`);
    else announcer.say(`Not sent: ${problem}`);
  },
});

let isUpToDate = false; // whether what was missed has been fetched since the connection was made
let problem = null; // what to show instead of the connection's state
let early = []; // frames of the room that is being loaded

const roomName = () => chat.dataset.channelId ?? `@${chat.dataset.tell.toLowerCase()}`;

// State

function showState() {
  const { name, attempt, wasSilent, text } = link.state;
  let shown = ["Connecting…", ""];
  if (problem) shown = [problem, "bad"];
  else if (name === "connecting") shown = [attempt ? "Reconnecting…" : "Connecting…", ""];
  else if (name === "waiting") shown = [wasSilent ? "Nothing was heard for a while. Reconnecting…" : "Not connected. Trying again…", ""];
  else if (name === "restarting") shown = ["The chat is restarting and will reconnect automatically.", ""];
  else if (name === "refused") shown = [text, "bad"];
  else if (name === "ended") shown = ["You are signed out.", "bad"];
  else if (name === "joined" && !isUpToDate) shown = ["Reading what was missed…", ""];
  else if (name === "joined") shown = limits.isStopped ? ["Paused", ""] : ["Live", "good"];
  if (state.dataset.text !== shown[0]) {
    state.dataset.text = shown[0];
    state.textContent = shown[0];
    if (name === "ended" && !problem) {
      state.append(" ", make("a", { href: `${root}/sign-in?next=${encodeURIComponent(location.pathname)}`, text: "Sign in" }));
    }
  }
  state.dataset.kind = shown[1];
  composer.form.hidden = name === "ended" || chat.dataset.isLatest !== "yes" || Boolean(problem);
}

// Stop here: this room no longer exists.
function stop(text) {
  problem = text;
  showState();
  state.append(" ", make("a", { href: `${root}/chat`, text: "All channels" }));
}

link.onState((now) => {
  if (now.name === "joined") {
    limits.reset();
    catchUp();
  } else {
    isUpToDate = false;
    listeners.show(false);
  }
  showState();
});

let catchingUp = 0; // the number of the current attempt
async function catchUp() {
  const attempt = ++catchingUp;
  const { channel } = chat.dataset;
  try {
    if (channel && log.isLatest) {
      const missed = await log.fillGap();
      if (missed === null) await open(location.href, { isAgain: true });
      else outbox.confirm(missed.map((row) => ({ channel, message: textOf(row) })));
      for (const row of missed ?? []) noteArrived(row);
    }
  } catch (error) {
    if (attempt !== catchingUp) return;
    if (error.status === 404) return stop("This channel was deleted or renamed.");
    return setTimeout(() => { if (attempt === catchingUp && link.state.name === "joined") catchUp(); }, GAP_SECONDS * 1000);
  }
  if (attempt !== catchingUp || link.state.name !== "joined") return;
  isUpToDate = true;
  limits.settle();
  showState();
  if (composer.problem.textContent === NOT_CONNECTED) composer.fail("");
  listeners.refresh();
  unread.refresh();
  unread.note();
}

// What was said in a row, as it was sent.
const textOf = (row) => (row.classList.contains("emote") ? "/me " : "") + row.querySelector(".said").textContent;

// Frames

link.onFrame((event, payload) => {
  if (event === "channels/broadcast") {
    if (early) early.push([event, payload]);
    receive(payload);
  } else if (event === "channels/redacted") {
    if (early) early.push([event, payload]);
    log.redact(payload.id);
  } else if (event === "channels/changed") renameChannel(payload);
  else if (event === "channels/closed") {
    if (String(payload.id) === chat.dataset.channelId) stop("This channel is no longer public.");
  } else if (event === "channels/state") limits.receive(payload);
});

function receive(line) {
  const isOwn = line.game === "Grapevine" && line.name.toLowerCase() === username.toLowerCase();
  const isHere = line.channel === chat.dataset.channel;
  const row = isHere && log.isLatest ? log.append(line) : null;
  if (isHere && log.isLatest && !row) return;
  if (row) noteArrived(row);
  if (isOwn) return;
  if (row) announcer.line(row);
  else if (!isHere) unread.countElsewhere(line.channel);
  if (!isNotice(line.name, line.game) && mentions(line.message)) {
    attention.call({
      title: `${line.name}@${line.game} mentions you on ${line.channel}`,
      body: line.message,
      tag: `line-${line.id}`,
      open: () => open(`${root}/chat/${encodeURIComponent(line.channel)}`),
    });
  } else if (isHere) attention.noteLine();
}

function noteArrived(row) {
  if (row.classList.contains("own")) outbox.confirm([{ channel: chat.dataset.channel, message: textOf(row) }]);
}

function renameChannel({ id, name }) {
  const entry = document.querySelector(`#chat-channel-list a[data-id="${id}"]`);
  const before = entry?.dataset.channel;
  if (!entry || before === name) return;
  entry.dataset.channel = name;
  entry.querySelector(".channel").textContent = name;
  entry.pathname = `${root}/chat/${encodeURIComponent(name)}`;
  if (String(id) !== chat.dataset.channelId) return;
  chat.dataset.channel = name;
  chat.dataset.lines = `${entry.pathname}/lines`;
  byId("chat-title").querySelector(".channel").textContent = name;
  log.element.setAttribute("aria-label", `Messages on ${name}`);
  composer.form.querySelector("label").textContent = `Say on ${name} as ${username}`;
  const older = byId("chat-older");
  if (older) older.pathname = entry.pathname;
  history.replaceState(null, "", entry.pathname);
  shown = addressHere();
  attention.entitle(name + attention.title.slice(before.length));
}

// Rooms

// Show another room: its page is fetched, and the parts that differ are exchanged.
let loading = 0;
const addressHere = () => location.pathname + location.search;
let shown = addressHere();
async function open(address, { isBack = false, isAgain = false } = {}) {
  const url = new URL(address, location.href);
  const number = ++loading;
  early = [];
  chat.setAttribute("aria-busy", "true");
  let page;
  try {
    const answer = await fetch(url, { cache: "no-store" });
    if (!answer.ok || new URL(answer.url).pathname.endsWith("/sign-in")) throw new Error(`status ${answer.status}`);
    page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (answer.redirected) url.href = answer.url + url.hash;
  } catch {
    location.href = url; // the browser shows what is wrong
    return;
  }
  if (number !== loading) return;
  const next = page.getElementById("chat");
  if (!next) {
    location.href = url;
    return;
  }
  unread.sendRead();
  if (!isBack && !isAgain && url.href !== location.href) history.pushState(null, "", url);
  shown = addressHere();
  for (const name of ["channel", "channelId", "lines", "isLatest", "tell"]) {
    if (next.dataset[name] === undefined) delete chat.dataset[name];
    else chat.dataset[name] = next.dataset[name];
  }
  for (const id of ["chat-head", "chat-scroll"]) byId(id).replaceWith(document.adoptNode(page.getElementById(id)));
  for (const [name, part] of [[".chat-here-body", ".chat-here-body"], ["#chat-here summary", "#chat-here summary"]]) {
    const from = page.querySelector(part);
    if (from) document.querySelector(name).replaceWith(document.adoptNode(from));
  }
  log.element.setAttribute("aria-label", page.getElementById("chat-log").getAttribute("aria-label"));
  attention.entitle(page.title);
  attention.clear();
  const frames = early;
  early = null;
  enter(page.querySelector("#chat-form label")?.textContent ?? "");
  for (const [event, payload] of frames) {
    if (event === "channels/redacted") log.redact(payload.id);
    else if (payload.channel === chat.dataset.channel && log.isLatest) log.append(payload);
  }
  chat.removeAttribute("aria-busy");
  if (!isAgain) announcer.say(byId("chat-title").textContent.trim());
}

// Prepare the room that is now in the page.
function enter(label = composer.form.querySelector("label").textContent) {
  problem = null;
  for (const entry of document.querySelectorAll("#chat-channel-list a")) {
    if (entry.dataset.id === chat.dataset.channelId) entry.setAttribute("aria-current", "page");
    else entry.removeAttribute("aria-current");
  }
  showTells();
  log.adopt();
  if (chat.dataset.tell) showConversation();
  outbox.open(roomName());
  composer.open(roomName(), label);
  unread.open();
  unread.note();
  limits.show();
  showState();
  if (chat.dataset.channel) link.want(chat.dataset.channel);
  listeners.refresh();
  document.querySelector('.chat-channels [aria-current="page"]')?.scrollIntoView({ block: "nearest", inline: "center" });
  if (matchMedia("(hover: hover) and (pointer: fine)").matches && !composer.form.hidden) composer.input.focus({ preventScroll: true });
}

// Also fired by links to parts of this page, like the one to the message box.
addEventListener("popstate", () => {
  if (addressHere() === shown) return;
  if (location.pathname.startsWith(`${root}/chat/`)) open(location.href, { isBack: true });
});

// Links to rooms, here and in the log, and the search, change only the room.
document.addEventListener("click", (event) => {
  const anchor = event.target.closest?.("a[href]");
  if (!anchor || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const isRoom = anchor.origin === location.origin && anchor.pathname.startsWith(`${root}/chat/`) && !anchor.target;
  if (!isRoom || !chat.contains(anchor)) return;
  event.preventDefault();
  open(anchor.href);
});
chat.addEventListener("submit", (event) => {
  if (!event.target.matches(".chat-search-form")) return;
  event.preventDefault();
  const query = new URLSearchParams([...new FormData(event.target)].filter(([, value]) => value));
  open(`${event.target.action}?${query}`);
});

const rooms = () => [...document.querySelectorAll(".chat-channels a")];
const nameOf = (anchor) => anchor.dataset.channel ?? anchor.dataset.tell;

// Tells

const addressOfTell = tellAddress;

function showTells() {
  unread.showTells(tells.book.conversations(), addressOfTell);
}

function showConversation() {
  const [name, game] = splitTell(chat.dataset.tell);
  for (const tell of tells.book.of(conversationOf(name, game))) {
    if (!log.list.querySelector(`[data-tell="${CSS.escape(tell.id)}"]`)) addTell(tell);
  }
  log.toEnd();
  if (!document.hidden) tells.markRead(conversationOf(name, game));
}

function addTell(tell) {
  const row = makeTell(tell);
  row.dataset.tell = tell.id;
  return log.appendRow(row, { isOwn: tell.isOwn });
}

tells.onChange((tell) => {
  const here = chat.dataset.tell && conversationOf(...splitTell(chat.dataset.tell));
  if (here) showConversation();
  showTells();
  if (!tell || tell.isOwn) return;
  announcer.say(`${tell.name}@${tell.game} tells you: ${tell.text}`);
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && chat.dataset.tell) tells.markRead(conversationOf(...splitTell(chat.dataset.tell)));
});

// Speaking

function submit(typed) {
  const command = parse(typed);
  if (command.kind === "wrong") return refuse(command.text);
  if (command.kind === "help") return showHelp(announcer), true;
  if (command.kind === "who") return showWho(), true;
  if (command.kind === "ignore") return ignore(command.name, command.game, say), true;
  if (link.state.name !== "joined" || !isUpToDate) return refuse(NOT_CONNECTED);
  const message = withoutTags(command.text.trim());
  if (command.kind === "tell") return tell(command, message, typed);
  if (command.kind === "reply") {
    const last = tells.book.lastReceived;
    return last ? tell(last, message, typed) : refuse("You have not received a tell yet.");
  }
  if (chat.dataset.tell) {
    const [name, game] = splitTell(chat.dataset.tell);
    return tell({ name, game }, message, typed);
  }
  outbox.add({ room: roomName(), text: typed, channel: chat.dataset.channel, message });
  log.toEnd();
  return true;
}

function tell({ name, game }, message, typed) {
  outbox.add({ room: roomName(), text: typed, tell: { name, game, text: message }, message });
  return true;
}

function refuse(text) {
  composer.fail(text);
  return false;
}

function say(text, kind) {
  if (kind === "bad") return composer.fail(text);
  composer.fail("");
  notice(text);
}

// Show something in the log that only this reader sees.
function notice(text) {
  const row = make("li", { class: "local" }, make("p", { text }));
  log.keepingPosition(() => log.list.append(row));
  log.toEnd();
  announcer.say(text);
}

async function showWho() {
  const found = await listeners.refresh();
  if (!found) return notice("Who is listening is unknown at the moment.");
  const people = found.people.join(", ") || "nobody";
  const games = found.games.map(({ game, players }) => `${game} (${players})`).join(", ") || "none";
  notice(`In browsers: ${people}. In games: ${games}.`);
}

function namesToComplete() {
  const names = log.rows.toReversed().map((row) => `${row.dataset.name}@${row.dataset.game}`);
  const told = tells.book.conversations().map(({ name, game }) => `${name}@${game}`);
  const here = listeners.people.map((name) => `${name}@Grapevine`);
  const isOther = (name) => name.toLowerCase() !== `${username}@grapevine`.toLowerCase() && name !== "system@Grapevine";
  return [...new Set([...names, ...told, ...here])].filter(isOther);
}

// Acting

const context = {
  isModerator: chat.dataset.role === "moderator",
  say,
  tell: (name, game) => open(addressOfTell(name, game)),
  mention: (name) => composer.insert(composer.input.value ? `${name} ` : `${name}: `),
};

function itemsOf(row) {
  const { name, game, id } = row.dataset;
  if (!name || row.dataset.number) return [];
  return itemsFor(
    { name, game, id, text: row.querySelector(".said")?.textContent, links: [...row.querySelectorAll(".said a")].map((a) => a.href) },
    { ...context, isOwn: row.classList.contains("own"), mention: chat.dataset.channel && context.mention, address: id && addressOf(id) },
  );
}

attachMenu(log.element, ".line", itemsOf);
handleKeys(log, {
  move(step) {
    const all = rooms();
    const at = all.findIndex((anchor) => anchor.hasAttribute("aria-current"));
    const next = all[(at + step + all.length) % all.length];
    if (next) open(next.href);
  },
  choose: () => chooseRoom(rooms().map((anchor) => ({ name: nameOf(anchor), href: anchor.href })), open),
  help: () => showHelp(announcer),
  letter(row, letter) {
    const label = { t: "Tell", m: "Mention", c: "Copy link" }[letter];
    itemsOf(row).find((item) => item.label === label)?.act();
  },
});
byId("chat-tools").append(make("button", { type: "button", class: "quiet small", title: "Commands, keys and options", "aria-label": "Commands, keys and options", text: "?", on: { click: () => showHelp(announcer) } }));

log.onSeen = () => unread.note();
early = null;
enter();
if (link.state.name === "joined") catchUp();
