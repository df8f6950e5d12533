// Buttons that copy the code beside them. They are hidden without this script, and also work in parts loaded later.
"use strict";

(() => {
  const SECONDS = 2;
  const news = document.createElement("p");
  news.className = "unseen";
  news.setAttribute("role", "status");
  document.body.append(news);
  document.documentElement.classList.add("can-copy");

  // The clipboard API needs TLS. Without it, select the text and let the browser copy the selection.
  async function copy(text, source) {
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
    const originalLabel = button.dataset.label ?? label.textContent;
    button.dataset.label = originalLabel;
    const isDone = await copy(source.textContent.trim(), source);
    label.textContent = isDone ? "Copied" : "Select it and copy";
    news.textContent = isDone ? `Copied ${button.dataset.what}.` : "Copying failed. The text is selected now.";
    clearTimeout(button.timer);
    button.timer = setTimeout(() => {
      label.textContent = originalLabel;
      news.textContent = "";
    }, SECONDS * 1000);
  });
})();
