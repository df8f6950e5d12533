// One menu on a line or a name: by its button, the context menu's key, a right click, or a long press. It knows nothing of
// the chat: the moderators' desk uses it too.
//
//   attachMenu(list, ".line", (row) => [{ label: "Copy link", act() { … } }, …]);

import { make } from "./dom.js";

const LONG_PRESS_MILLISECONDS = 500;
let open = null; // the open menu, with what it was opened from

/**
 * Let the elements in a container that match a selector have a menu.
 *
 * @param {HTMLElement} container
 * @param {string} selector The elements with a menu. A `.line-menu` button in one opens its menu.
 * @param {(element: HTMLElement) => {label: string, href?: string, act?: () => void, isDanger?: boolean}[]} itemsOf
 */
export function attachMenu(container, selector, itemsOf) {
  const show = (target, at) => {
    const element = target.closest(selector);
    const items = element ? itemsOf(element) : [];
    if (items.length) openMenu(items, element, at ?? { x: target.getBoundingClientRect().left, y: target.getBoundingClientRect().bottom });
    return items.length > 0;
  };
  container.addEventListener("click", (event) => {
    const button = event.target.closest(".line-menu, .who");
    if (button && show(button)) event.preventDefault();
  });
  container.addEventListener("contextmenu", (event) => {
    if (event.target.closest("a[target]") || !getSelection().isCollapsed) return; // the browser's own is of more use
    const isKey = event.button !== 2 || (!event.clientX && !event.clientY);
    if (show(event.target, isKey ? undefined : { x: event.clientX, y: event.clientY })) event.preventDefault();
  });
  container.addEventListener("keydown", (event) => {
    const isAsked = event.key === "Enter" || event.key === "ContextMenu" || (event.key === "F10" && event.shiftKey);
    if (isAsked && event.target.matches(selector) && show(event.target)) event.preventDefault();
  });
  let timer = 0;
  const cancel = () => clearTimeout(timer);
  container.addEventListener("touchstart", (event) => {
    cancel();
    const { clientX: x, clientY: y } = event.touches[0];
    timer = setTimeout(() => show(event.target, { x, y }), LONG_PRESS_MILLISECONDS);
  }, { passive: true });
  for (const name of ["touchend", "touchmove", "touchcancel"]) container.addEventListener(name, cancel, { passive: true });
}

/** Open a menu near a point. The focus returns to `origin`. */
export function openMenu(items, origin, { x, y }) {
  closeMenu();
  const entries = items.map(({ label, href, act, isDanger }) => {
    const attributes = { role: "menuitem", tabindex: -1, class: isDanger ? "danger" : false, text: label };
    const entry = href ? make("a", { ...attributes, href }) : make("button", { ...attributes, type: "button" });
    entry.addEventListener("click", () => {
      closeMenu();
      act?.();
    });
    return entry;
  });
  const menu = make("div", { class: "menu", role: "menu", "aria-label": "Actions" }, ...entries);
  menu.addEventListener("keydown", (event) => {
    const at = entries.indexOf(document.activeElement);
    const next = { ArrowDown: at + 1, ArrowUp: at - 1 + entries.length, Home: 0, End: entries.length - 1 }[event.key];
    if (next !== undefined) entries[next % entries.length].focus();
    else if (event.key === "Escape" || event.key === "Tab") closeMenu();
    else {
      const letter = event.key.length === 1 && !event.ctrlKey && !event.altKey && !event.metaKey ? event.key.toLowerCase() : "";
      if (letter) entries.find((entry) => entry.textContent.toLowerCase().startsWith(letter))?.focus();
      if (!letter) return;
    }
    event.preventDefault();
    event.stopPropagation();
  });
  document.body.append(menu);
  const box = menu.getBoundingClientRect();
  menu.style.left = `${Math.max(4, Math.min(x, innerWidth - box.width - 4))}px`;
  menu.style.top = `${Math.max(4, Math.min(y, innerHeight - box.height - 4))}px`;
  open = { menu, origin };
  entries[0].focus();
}

/** Close the open menu, if there is one. */
export function closeMenu() {
  if (!open) return;
  const { menu, origin } = open;
  const hadFocus = menu.contains(document.activeElement);
  open = null;
  menu.remove();
  if (hadFocus && origin.isConnected) origin.focus({ preventScroll: true });
}

document.addEventListener("pointerdown", (event) => {
  if (open && !open.menu.contains(event.target)) closeMenu();
});
addEventListener("resize", closeMenu);
addEventListener("blur", closeMenu);
