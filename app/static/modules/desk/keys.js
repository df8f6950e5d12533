// Keys of the live view. They work in the list only, and letters can be switched off, since screen readers use them.

import { preference } from "../chat/storage.js";

/** What the help shows. */
export const KEYS = [
  ["j or ↓, k or ↑", "the next or previous message"],
  ["Home, End", "the first or the last message"],
  ["m", "mute the speaker for an hour"],
  ["w", "warn the speaker"],
  ["d", "redact the message"],
  ["u", "undo the last of these within ten seconds"],
  ["Enter", "the menu of the message"],
  ["?", "this help"],
];

export const hasLetters = () => preference("desk-letters", true);

/**
 * Handle the list's keys.
 *
 * @param {HTMLElement} log The element that scrolls and has the list.
 * @param {() => HTMLElement[]} rows
 * @param {Record<string, (row: HTMLElement | null) => void>} acts What the letters do.
 */
export function handleKeys(log, rows, acts) {
  log.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    const row = event.target.closest(".said");
    if (event.target !== log && event.target !== row) return; // a button or a link
    const all = rows();
    const at = all.indexOf(row);
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key.length === 1 && !hasLetters()) return;
    const next = {
      ArrowDown: row ? at + 1 : all.length - 1,
      ArrowUp: row ? at - 1 : all.length - 1,
      Home: 0,
      End: all.length - 1,
    }[{ j: "ArrowDown", k: "ArrowUp" }[key] ?? key];
    if (next !== undefined) select(all[next]);
    else if (acts[key]) acts[key](row);
    else return;
    event.preventDefault();
  });

  // While a message has the focus, Shift+Tab leaves the list instead of stopping at it once more.
  log.addEventListener("focusin", (event) => {
    const row = event.target.closest(".said");
    log.tabIndex = row ? -1 : 0;
    if (row) row.tabIndex = 0;
  });
  log.addEventListener("focusout", (event) => {
    const row = event.target.closest(".said");
    if (row) row.tabIndex = -1;
    if (!log.contains(event.relatedTarget)) log.tabIndex = 0;
  });
}

function select(row) {
  row?.focus();
  row?.scrollIntoView({ block: "nearest" });
}
