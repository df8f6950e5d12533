// Adds to the live page what was said since: asks every other second, and is told 304 while nobody spoke.
"use strict";

(() => {
  const list = document.getElementById("live");
  const log = list.parentElement; // scrolls
  const hold = document.getElementById("live-hold");
  const state = document.getElementById("live-state");
  const SECONDS = 2;
  const LONGEST = 60;
  const most = Number(list.dataset.most);
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

  // What comes while the list is held waits on the server: the place to ask from stays.
  function add(html) {
    const follows = isAtEnd();
    list.insertAdjacentHTML("beforeend", html);
    document.getElementById("live-empty")?.remove();
    while (list.children.length > most) list.firstElementChild.remove();
    if (follows) toEnd();
  }

  async function ask() {
    const address = new URL(list.dataset.live, location.href);
    address.searchParams.set("after", after);
    try {
      const answer = await fetch(address, { cache: "no-store", redirect: "manual" });
      if (answer.type === "opaqueredirect" || answer.status === 401 || answer.status === 403) return location.reload();
      if (answer.status === 200) {
        add(await answer.text());
        after = answer.headers.get("ETag").replace(/\D/g, "");
      }
      wait = answer.status < 400 ? SECONDS : Math.min(2 * wait, LONGEST);
      say(answer.status < 400 ? "" : "The site cannot be reached now.");
    } catch {
      wait = Math.min(2 * wait, LONGEST);
      say("The site cannot be reached now.");
    }
    plan();
  }

  function plan() {
    clearTimeout(timer);
    if (!document.hidden && !isHeld) timer = setTimeout(ask, wait * 1000);
  }

  hold.hidden = false;
  hold.addEventListener("click", () => {
    isHeld = !isHeld;
    hold.setAttribute("aria-pressed", String(isHeld));
    if (isHeld) clearTimeout(timer);
    else ask();
  });
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden && !isHeld) ask();
  });
  toEnd();
  plan();
})();
