// Follows an address of the time when the documentation was one page (#channels-send) to the page that has it now.
"use strict";

(() => {
  function follow() {
    const id = decodeURIComponent(location.hash.slice(1));
    if (!id) return;
    // Examples were named after their event: channels-send.request.
    const entry = document.getElementById(id) ?? document.getElementById(id.split(".")[0]);
    if (!entry?.hasAttribute("data-moved")) return;
    const target = new URL(entry.querySelector("a").href);
    if (id.includes(".")) target.hash = id;
    location.replace(target);
  }

  window.addEventListener("hashchange", follow);
  follow();
})();
