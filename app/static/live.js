// Parts of a page that stay as they are on the server: asks every other second, and is told 304 while nothing changed.
"use strict";

// part: the element with the address to ask (data-live) and the state that is shown (data-mark). replace: puts what came
// into the page. isHeld: true while nothing is to be replaced.
function keepLive(part, replace, isHeld = () => false) {
  const SECONDS = 2;
  const LONGEST = 60;
  let mark = `"${part.dataset.mark}"`;
  let wait = SECONDS;
  let timer = 0;
  let isAsking = false;

  async function ask() {
    if (isAsking) return;
    isAsking = true;
    try {
      if (!isHeld()) await look();
    } catch {
      wait = Math.min(2 * wait, LONGEST);
    }
    isAsking = false;
    plan();
  }

  async function look() {
    const answer = await fetch(part.dataset.live, { cache: "no-store", headers: { "If-None-Match": mark } });
    if (answer.status === 401) return location.reload();
    if (answer.status === 200) {
      replace(await answer.text());
      mark = answer.headers.get("ETag");
    }
    wait = answer.status < 400 ? SECONDS : Math.min(2 * wait, LONGEST);
  }

  function plan() {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(ask, wait * 1000);
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden) ask();
  });
  plan();
}

// The button that had the focus has it again after a change, if its form is still there.
function keepingFocus(part, change) {
  const focused = part.contains(document.activeElement) && document.activeElement.closest("form")?.getAttribute("action");
  change();
  if (!focused) return;
  [...part.querySelectorAll("form")].find((form) => form.getAttribute("action") === focused)?.querySelector("button").focus();
}
