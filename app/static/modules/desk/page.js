// The live view: polls for new messages every two seconds, and lets moderators act on a message by a key or its menu.

import { itemsFor } from "../chat/acts.js";
import { byId, make } from "../chat/dom.js";
import { attachMenu } from "../chat/menu.js";
import { preference, setPreference } from "../chat/storage.js";
import { mute, redact, warn } from "./acts.js";
import { handleKeys, hasLetters, KEYS } from "./keys.js";
import { Pending } from "./pending.js";

const SECONDS = 2;
const MAX_SECONDS = 60;
const ANNOUNCED = 30; // a screen reader that is busy still gets to them

const list = byId("live");
const log = list.parentElement; // scrolls
const hold = byId("live-hold");
const state = byId("live-state");
const reason = byId("live-reason");
const announcer = byId("live-announcer");
const own = byId("chat-mark").dataset.user.toLowerCase();
const maxLines = Number(list.dataset.most);
const pending = new Pending(byId("live-done"));
let after = list.dataset.after;
let wait = SECONDS;
let timer = 0;
let isHeld = false;

const isAtEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 40;
const toEnd = () => { log.scrollTop = log.scrollHeight; };
const rows = () => [...list.children];
const speakerOf = (row) => `${row.dataset.name}@${row.dataset.game}`;
const textOf = (row) => row.querySelector(".said-text")?.textContent;

function showState(text) {
  state.hidden = !text;
  state.textContent = text;
}

// One Tab stop for the list: links are in each message's menu.
function dress(row) {
  row.tabIndex = -1;
  for (const link of row.querySelectorAll("a")) link.tabIndex = -1;
  if (isNotice(row)) return;
  row.append(make("button", { class: "line-menu", type: "button", tabindex: -1, "aria-label": `Actions for what ${row.dataset.name} said`, "aria-haspopup": "menu", text: "⋯" }));
}

const isNotice = (row) => row.dataset.name === "system" && row.dataset.game === "Grapevine";

function announce(row) {
  if (!preference("desk-announces", true)) return;
  announcer.append(make("p", { text: `${row.dataset.name}: ${textOf(row) ?? "redacted"}` }));
  while (announcer.childElementCount > ANNOUNCED) announcer.firstElementChild.remove();
}

// While the list is paused, new messages stay on the server, because `after` does not change.
function add(html) {
  const follows = isAtEnd() && !list.contains(document.activeElement);
  const before = list.lastElementChild;
  list.insertAdjacentHTML("beforeend", html);
  byId("live-empty")?.remove();
  for (let row = before ? before.nextElementSibling : list.firstElementChild; row; row = row.nextElementSibling) {
    dress(row);
    announce(row);
  }
  for (const row of rows().slice(0, Math.max(0, list.children.length - maxLines))) {
    if (!row.contains(document.activeElement)) row.remove();
  }
  if (follows) toEnd();
}

async function poll() {
  const address = new URL(list.dataset.live, location.href);
  address.searchParams.set("after", after);
  try {
    const answer = await fetch(address, { cache: "no-store", redirect: "manual" });
    if (answer.type === "opaqueredirect" || answer.status === 401 || answer.status === 403) return location.reload();
    if (answer.status === 200) {
      add(await answer.text());
      after = answer.headers.get("ETag").replace(/\D/g, "");
    }
    wait = answer.status < 400 ? SECONDS : Math.min(2 * wait, MAX_SECONDS);
    showState(answer.status < 400 ? "" : "The site cannot be reached.");
  } catch {
    wait = Math.min(2 * wait, MAX_SECONDS);
    showState("The site cannot be reached.");
  }
  schedule();
}

function schedule() {
  clearTimeout(timer);
  if (!document.hidden && !isHeld) timer = setTimeout(poll, wait * 1000);
}

/** Do an act on a message, with the chosen reason, if the message allows it. */
function act(row, run, { needsText = false } = {}) {
  if (!row || isNotice(row)) return;
  const isGone = textOf(row) === undefined || row.matches(".is-redacting, .is-redacted");
  if (needsText && isGone) return pending.say("This message is redacted already.");
  if (!reason.value.trim()) {
    pending.say("Choose a reason first.", true);
    return reason.focus();
  }
  run(speakerOf(row), reason.value.trim());
}

const muteRow = (row) => act(row, (who, why) => mute(who, why, pending));
const warnRow = (row) => act(row, (who, why) => warn(who, why, pending));
const redactRow = (row) => act(row, (who, why) => redact(row, who, why, pending), { needsText: true });

function itemsOf(row) {
  if (isNotice(row)) return [];
  const { name, game } = row.dataset;
  const text = textOf(row);
  const isOwn = game === "Grapevine" && name.toLowerCase() === own;
  return [
    !isOwn && { label: "Mute for an hour (m)", act: () => muteRow(row) },
    !isOwn && { label: "Warn (w)", act: () => warnRow(row) },
    text !== undefined && { label: "Redact (d)", isDanger: true, act: () => redactRow(row) },
    { label: "Context", href: row.querySelector(".said-at").href },
    ...itemsFor({ name, game, id: row.dataset.message, text }, { isModerator: true, isOwn, say: (words, kind) => pending.say(words, kind === "bad") }),
  ].filter(Boolean);
}

function showHelp() {
  const option = (label, name) => {
    const input = make("input", { type: "checkbox", on: { change: () => setPreference(name, input.checked) } });
    input.checked = preference(name, true);
    return make("label", { class: "option" }, input, ` ${label}`);
  };
  const close = make("button", { type: "button", text: "Close", on: { click: () => dialog.close() } });
  const dialog = make(
    "dialog",
    { class: "dialog", "aria-label": "Keys and options" },
    make("h2", { text: "Keys and options" }),
    make("p", { class: "soft", text: "These keys work in the list of messages." }),
    make("dl", { class: "keys" }, ...KEYS.map(([key, what]) => make("div", {}, make("dt", {}, make("kbd", { text: key })), make("dd", { text: what })))),
    option("Single letters work on messages", "desk-letters"),
    option("Announce new messages to screen readers", "desk-announces"),
    make("p", { class: "actions" }, close),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  close.focus();
}

rows().forEach(dress);
for (const part of document.querySelectorAll(".needs-script")) part.hidden = false;
reason.value = preference("desk-reason", "") || document.querySelector("#reasons option")?.value || "";
reason.addEventListener("change", () => setPreference("desk-reason", reason.value));
byId("live-help").addEventListener("click", showHelp);
attachMenu(list, ".said", itemsOf);
handleKeys(log, rows, { m: muteRow, w: warnRow, d: redactRow, u: () => pending.undo(), "?": showHelp });
// The focus is often on the button that was just used, or on the message to undo, so `u` works there too.
byId("live-done").addEventListener("keydown", (event) => {
  if (event.key === "u" && hasLetters()) pending.undo();
});
hold.addEventListener("click", () => {
  isHeld = !isHeld;
  hold.setAttribute("aria-pressed", String(isHeld));
  if (isHeld) clearTimeout(timer);
  else poll();
});
document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  if (!document.hidden && !isHeld) poll();
});
toEnd();
schedule();
