// Keeps the list of characters up to date and announces new ones to approve.
"use strict";

(() => {
  const list = document.getElementById("characters");
  const news = document.getElementById("characters-news");

  const pending = () =>
    new Map([...list.querySelectorAll("#pending-characters li")].map((row) => [row.dataset.character, row]));

  function replace(html) {
    const before = pending();
    keepingFocus(list, () => { list.innerHTML = html; });
    const added = [...pending()].filter(([id]) => !before.has(id)).map(([, row]) => row.querySelector("h3").textContent);
    if (added.length) news.textContent = `${added.join(", ")}: is this you? Approve or deny.`;
  }

  keepLive(list, replace);
})();
