// Keeps the owner's page up to date and announces when the game connects or disconnects.
"use strict";

(() => {
  const live = document.getElementById("live");
  const news = document.getElementById("live-news");

  const state = () => (document.getElementById("connected") ? "connected" : document.getElementById("not-connected") ? "gone" : "");

  // Replace a part. Open details stay open.
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
    if (before !== after) news.textContent = { connected: "Your game is connected.", gone: "Your game is no longer connected." }[after] ?? "";
  }

  // Do not replace anything while the reader is selecting text in it.
  function isSelecting() {
    const selection = document.getSelection();
    return !selection.isCollapsed && live.contains(selection.anchorNode);
  }

  keepLive(live, replace, isSelecting);
})();
