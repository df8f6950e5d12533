// The keyboard: one Tab stop for the log with arrows within it, keys for channels, and single letters within the log only,
// which can be switched off, since screen readers have such keys of their own.

import { byId } from "./dom.js";
import { preference } from "./storage.js";

/** What the help shows. */
export const KEYS = [
  ["Enter", "send; Shift+Enter starts a new line"],
  ["Tab", "complete a name or a command"],
  ["↑ and ↓ in an empty input", "recall what you sent"],
  ["Alt+↑ and Alt+↓", "the channel above or below"],
  ["Ctrl+K", "go to a channel or a conversation by its name"],
  ["Shift+Tab from the input", "to the messages: ↑ and ↓ move, Home and End jump, Enter opens the menu, Escape returns"],
  ["T, M, C, ? on a message", "tell, mention, copy its link, this help"],
];

/**
 * Handle the page's keys.
 *
 * @param {object} acts
 * @param {(step: number) => void} acts.move Opens the room above (-1) or below (1).
 * @param {() => void} acts.choose Opens the list of rooms.
 * @param {() => void} acts.help
 * @param {(row: HTMLElement, letter: string) => void} acts.letter Acts on a line.
 */
export function handleKeys(log, acts) {
  const { element } = log;

  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229 || document.querySelector("dialog[open]")) return;
    const isArrow = event.key === "ArrowUp" || event.key === "ArrowDown";
    if (event.altKey && isArrow && !event.ctrlKey && !event.metaKey && !event.shiftKey) acts.move(event.key === "ArrowUp" ? -1 : 1);
    else if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey) acts.choose();
    else return;
    event.preventDefault();
  });

  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const row = event.target.closest(".line");
    if (event.target.matches("button, input, textarea") || (event.target !== element && event.target !== row)) return;
    const { rows } = log;
    const at = rows.indexOf(row);
    let next = null;
    if (event.key === "ArrowUp") next = row ? rows[at - 1] : rows.at(-1);
    else if (event.key === "ArrowDown") next = row ? rows[at + 1] : rows.at(-1);
    else if (event.key === "Home") {
      element.scrollTop = -element.scrollHeight;
      next = row && rows[0];
    } else if (event.key === "End") {
      log.toEnd();
      next = row && rows.at(-1);
    } else if (event.key === "Escape") return byId("chat-text")?.focus();
    else if (!event.shiftKey || event.key === "?") {
      if (!/^[a-z?]$/i.test(event.key) || !preference("letters", true)) return;
      event.preventDefault(); // acting may move the focus to the input, which must not get the letter
      if (event.key === "?") acts.help();
      else if (row) acts.letter(row, event.key.toLowerCase());
      return;
    } else return;
    event.preventDefault();
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
  });

  // While a line has the focus, Shift+Tab leaves the log instead of stopping at it once more.
  element.addEventListener("focusin", (event) => { element.tabIndex = event.target === element ? 0 : -1; });
  element.addEventListener("focusout", (event) => {
    if (!element.contains(event.relatedTarget)) element.tabIndex = 0;
  });

  byId("chat-text")?.addEventListener("keydown", (event) => {
    if (event.key !== "PageUp" || event.shiftKey) return;
    event.preventDefault();
    element.focus();
    element.scrollBy({ top: -element.clientHeight * 0.9 });
  });
}
