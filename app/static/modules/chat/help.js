// The dialogs of the chat: commands, keys and options; and the list of rooms to jump to.

import { COMMANDS } from "./commands.js";
import { make } from "./dom.js";
import { KEYS } from "./keys.js";
import { preference, setPreference } from "./storage.js";

function show(title, ...children) {
  const dialog = make("dialog", { class: "dialog", "aria-label": title }, make("h2", { text: title }), ...children);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

const rows = (entries) => make("dl", { class: "keys" }, ...entries.map(([key, text]) => make("div", {}, make("dt", {}, make("kbd", { text: key })), make("dd", { text }))));

function option(label, isOn, change) {
  const input = make("input", { type: "checkbox" });
  input.checked = isOn;
  input.addEventListener("change", async () => {
    input.checked = (await change(input.checked)) ?? input.checked;
  });
  return make("label", { class: "option" }, input, ` ${label}`);
}

/** Show commands, keys and options. */
export function showHelp(announcer) {
  const canNotify = "Notification" in globalThis;
  const dialog = show(
    "Commands, keys and options",
    make("h3", { text: "Commands" }),
    rows([...COMMANDS.map(([name, takes, what]) => [`${name} ${takes}`.trim(), what]), ["//…", "says a line that begins with /"]]),
    make("h3", { text: "Keys" }),
    rows(KEYS),
    make("h3", { text: "Options" }),
    option("Single letters work on messages", preference("letters", true), (isOn) => setPreference("letters", isOn)),
    option("Announce new messages to screen readers", !announcer.isPaused, (isOn) => announcer.pause(!isOn)),
    canNotify &&
      option("Notify me of mentions and tells", preference("notifications", false) && Notification.permission === "granted", async (isOn) => {
        const isAllowed = isOn && (await Notification.requestPermission()) === "granted";
        setPreference("notifications", isAllowed);
        return isAllowed;
      }),
    make("p", { class: "actions" }, make("button", { type: "button", text: "Close", on: { click: () => dialog.close() } })),
  );
  dialog.querySelector("button").focus();
}

/**
 * Let the reader choose a room by typing a part of its name.
 *
 * @param {{ name: string, href: string }[]} rooms
 * @param {(href: string) => void} go
 */
export function chooseRoom(rooms, go) {
  const input = make("input", { type: "search", "aria-label": "Channel or conversation", autocomplete: "off" });
  const list = make("ul", { class: "choices" });
  const find = () => {
    const typed = input.value.trim().toLowerCase();
    const found = rooms.filter(({ name }) => name.toLowerCase().includes(typed));
    list.replaceChildren(...found.slice(0, 12).map(({ name, href }) => make("li", {}, make("a", { href, text: name }))));
  };
  const dialog = show("Go to", make("form", { method: "dialog" }, input), list);
  const choose = (href) => {
    dialog.close();
    go(href);
  };
  input.addEventListener("input", find);
  dialog.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    const first = list.querySelector("a");
    if (first) choose(first.href);
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const stops = [input, ...list.querySelectorAll("a")];
    const at = stops.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
    stops[(at + stops.length) % stops.length].focus();
    event.preventDefault();
  });
  list.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    choose(link.href);
  });
  find();
  input.focus();
}
