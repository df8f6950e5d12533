// Keeps the list of characters as it is on the server: asks every other second, and is told 304 while nothing changed.
"use strict";

(() => {
  const list = document.getElementById("characters");
  const news = document.getElementById("characters-news");
  const SECONDS = 2;
  const LONGEST = 60;
  let mark = `"${list.dataset.mark}"`;
  let wait = SECONDS;
  let timer = 0;

  const pending = () =>
    new Map([...list.querySelectorAll("#pending-characters li")].map((row) => [row.dataset.character, row]));

  // The button that had the focus has it again, if it is still there.
  function replace(html) {
    const before = pending();
    const focused = document.activeElement?.closest("#characters form")?.getAttribute("action");
    list.innerHTML = html;
    if (focused) {
      [...list.querySelectorAll("form")].find((form) => form.getAttribute("action") === focused)
        ?.querySelector("button").focus();
    }
    const added = [...pending()].filter(([id]) => !before.has(id)).map(([, row]) => row.querySelector("h3").textContent);
    if (added.length) news.textContent = `${added.join(", ")}: is this you? Approve or deny.`;
  }

  async function ask() {
    try {
      const answer = await fetch(list.dataset.live, { cache: "no-store", headers: { "If-None-Match": mark } });
      if (answer.status === 401) return location.reload();
      if (answer.status === 200) {
        replace(await answer.text());
        mark = answer.headers.get("ETag");
      }
      wait = answer.status < 400 ? SECONDS : Math.min(2 * wait, LONGEST);
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
