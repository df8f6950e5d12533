// Shows each time in the reader's zone and language, and the whole of it on hover. Must agree with app/times.py.
"use strict";

(() => {
  const day = new Intl.DateTimeFormat(undefined, { dateStyle: "long" });
  const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeStyle: "short" });
  const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
  const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
  const UNITS = [["minute", 60, 60], ["hour", 3600, 24], ["day", 86400, 31]];

  function ago(when) {
    const seconds = (Date.now() - when) / 1000;
    for (const [unit, size, limit] of UNITS) {
      const count = Math.floor(seconds / size);
      if (count < 1) return "a moment ago";
      if (count < limit) return `${count} ${unit}${count === 1 ? "" : "s"} ago`;
    }
    return `on ${day.format(when)}`;
  }

  const seconds = (when) => (Date.now() - when < 60_000 ? `${Math.max(0, Math.floor((Date.now() - when) / 1000))} s ago` : ago(when));

  const STYLES = { day: (when) => day.format(when), moment: (when) => moment.format(when), clock: (when) => clock.format(when), ago, seconds };

  function show(time) {
    const when = new Date(time.dateTime);
    const words = STYLES[time.dataset.time]?.(when);
    if (!words) return;
    if (time.textContent !== words) time.textContent = words;
    time.title = whole.format(when);
  }

  const showAll = (root) => root.querySelectorAll("time[data-time]").forEach(show);

  showAll(document);
  setInterval(() => document.querySelectorAll('time[data-time="ago"]').forEach(show), 30_000);
  setInterval(() => document.querySelectorAll('time[data-time="seconds"]').forEach(show), 1_000);
  // Parts of live pages are replaced while they are open.
  new MutationObserver((changes) => {
    for (const change of changes) {
      for (const node of change.addedNodes) if (node instanceof Element) node.matches("time[data-time]") ? show(node) : showAll(node);
    }
  }).observe(document.body, { childList: true, subtree: true });
})();
