// Keeps the parts of an owner's page as they are on the server, and says so when the game comes or goes.
"use strict";

(() => {
  const live = document.getElementById("live");
  const news = document.getElementById("live-news");

  const state = () => (document.getElementById("connected") ? "connected" : document.getElementById("not-connected") ? "gone" : "");

  // What was opened stays open.
  function put(part, fresh) {
    const open = [...part.querySelectorAll("details[open][id]")].map((details) => details.id);
    keepingFocus(part, () => part.replaceChildren(...fresh.childNodes));
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
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

  keepLive(live, replace, isSelecting);
})();
