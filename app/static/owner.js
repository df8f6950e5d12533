// Keeps the parts of an owner's page as they are on the server: asks every other second, is told 304 while nothing changed.
"use strict";

(() => {
  const live = document.getElementById("live");
  const news = document.getElementById("live-news");
  const SECONDS = 2;
  const LONGEST = 60;
  let mark = `"${live.dataset.mark}"`;
  let wait = SECONDS;
  let timer = 0;

  const state = () => (document.getElementById("connected") ? "connected" : document.getElementById("not-connected") ? "gone" : "");

  // What was opened stays open, and the button that had the focus has it again.
  function put(part, fresh) {
    const open = [...part.querySelectorAll("details[open][id]")].map((details) => details.id);
    const focused = part.contains(document.activeElement) && document.activeElement.closest("form")?.getAttribute("action");
    part.replaceChildren(...fresh.childNodes);
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focused) {
      [...part.querySelectorAll("form")].find((form) => form.getAttribute("action") === focused)
        ?.querySelector("button").focus();
    }
  }

  function replace(html) {
    const before = state();
    const fresh = document.createElement("template");
    fresh.innerHTML = html;
    for (const part of fresh.content.querySelectorAll("[data-part]")) {
      put(live.querySelector(`[data-part="${part.dataset.part}"]`), part);
    }
    const after = state();
    if (before !== after) news.textContent = { connected: "Your game is connected.", gone: "Your game is not connected any more." }[after] ?? "";
  }

  // Whoever is copying something from these parts is not to lose it.
  function isSelecting() {
    const selection = document.getSelection();
    return !selection.isCollapsed && live.contains(selection.anchorNode);
  }

  async function ask() {
    try {
      if (!isSelecting()) {
        const answer = await fetch(live.dataset.live, { cache: "no-store", headers: { "If-None-Match": mark } });
        if (answer.status === 401) return location.reload();
        if (answer.status === 200) {
          replace(await answer.text());
          mark = answer.headers.get("ETag");
        }
        wait = answer.status < 400 ? SECONDS : Math.min(2 * wait, LONGEST);
      }
    } catch {
      wait = Math.min(2 * wait, LONGEST);
    }
    plan();
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
})();
