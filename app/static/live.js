// Keeps parts of a page up to date: polls every two seconds. The server answers 304 while nothing has changed.
"use strict";

/**
 * Poll for changes of an element.
 *
 * @param {HTMLElement} part The element, with the address (data-live) and the mark of the current state (data-mark).
 * @param {(html: string) => void} replace Puts the new state into the page.
 * @param {() => boolean} isHeld Returns true while nothing should be replaced.
 */
function keepLive(part, replace, isHeld = () => false) {
  const SECONDS = 2;
  const MAX_SECONDS = 60;
  let mark = `"${part.dataset.mark}"`;
  let wait = SECONDS;
  let timer = 0;
  let isPolling = false;

  async function poll() {
    if (isPolling) return;
    isPolling = true;
    try {
      if (!isHeld()) await update();
    } catch {
      wait = Math.min(2 * wait, MAX_SECONDS);
    }
    isPolling = false;
    schedule();
  }

  async function update() {
    const answer = await fetch(part.dataset.live, { cache: "no-store", headers: { "If-None-Match": mark } });
    if (answer.status === 401) return location.reload();
    if (answer.status === 200) {
      replace(await answer.text());
      mark = answer.headers.get("ETag");
    }
    wait = answer.status < 400 ? SECONDS : Math.min(2 * wait, MAX_SECONDS);
  }

  function schedule() {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(poll, wait * 1000);
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden) poll();
  });
  schedule();
}

// Change an element and give the focus back to the button that had it, if its form still exists.
function keepingFocus(part, change) {
  const focused = part.contains(document.activeElement) && document.activeElement.closest("form")?.getAttribute("action");
  change();
  if (!focused) return;
  [...part.querySelectorAll("form")].find((form) => form.getAttribute("action") === focused)?.querySelector("button").focus();
}
