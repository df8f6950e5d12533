// Adds new messages to the live page: polls every two seconds. The server answers 304 if there are none.
"use strict";

(() => {
  const list = document.getElementById("live");
  const log = list.parentElement; // scrolls
  const hold = document.getElementById("live-hold");
  const state = document.getElementById("live-state");
  const SECONDS = 2;
  const MAX_SECONDS = 60;
  const maxLines = Number(list.dataset.most);
  let after = list.dataset.after;
  let wait = SECONDS;
  let timer = 0;
  let isHeld = false;

  const isAtEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const toEnd = () => { log.scrollTop = log.scrollHeight; };

  function say(text) {
    state.hidden = !text;
    state.textContent = text;
  }

  // While the list is paused, new messages stay on the server, because `after` does not change.
  function add(html) {
    const follows = isAtEnd();
    list.insertAdjacentHTML("beforeend", html);
    document.getElementById("live-empty")?.remove();
    while (list.children.length > maxLines) list.firstElementChild.remove();
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
      say(answer.status < 400 ? "" : "The site cannot be reached.");
    } catch {
      wait = Math.min(2 * wait, MAX_SECONDS);
      say("The site cannot be reached.");
    }
    schedule();
  }

  function schedule() {
    clearTimeout(timer);
    if (!document.hidden && !isHeld) timer = setTimeout(poll, wait * 1000);
  }

  hold.hidden = false;
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
})();
