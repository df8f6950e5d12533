// Buttons that copy what stands beside them. They are shown only where this script runs; pieces that come later work too.
"use strict";

(() => {
  const SECONDS = 2;
  const news = document.createElement("p");
  news.className = "unseen";
  news.setAttribute("role", "status");
  document.body.append(news);
  document.documentElement.classList.add("can-copy");

  // Sites without TLS have no clipboard of their own: there the browser copies what is selected.
  async function put(text, source) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const range = document.createRange();
      range.selectNodeContents(source);
      const selection = document.getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      return document.execCommand("copy");
    }
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button.copy-button");
    if (!button) return;
    const source = button.closest(".copy-box").querySelector("code");
    const label = button.firstChild;
    const before = button.dataset.label ?? label.textContent;
    button.dataset.label = before;
    const isDone = await put(source.textContent.trim(), source);
    label.textContent = isDone ? "Copied" : "Select it and copy";
    news.textContent = isDone ? `Copied ${button.dataset.what}.` : "It could not be copied: it is selected now.";
    clearTimeout(button.timer);
    button.timer = setTimeout(() => {
      label.textContent = before;
      news.textContent = "";
    }, SECONDS * 1000);
  });
})();
