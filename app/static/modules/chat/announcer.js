// Says each new line once to screen readers, politely. The reader can pause it.

import { byId, make } from "./dom.js";
import { preference, setPreference } from "./storage.js";

const KEPT = 30; // a screen reader that is busy still gets to them

export class Announcer {
  constructor() {
    this.region = byId("chat-announcer");
    this.isPaused = preference("announcements-paused", false);
  }

  pause(isPaused) {
    this.isPaused = isPaused;
    setPreference("announcements-paused", isPaused);
    if (isPaused) this.region.replaceChildren();
  }

  /** Say a row of the log. */
  line(row) {
    const who = row.querySelector(".who").textContent;
    const said = row.querySelector(".said").textContent;
    if (row.classList.contains("tell")) this.say(`${who} tells you: ${said}`);
    else this.say(row.classList.contains("emote") ? `${who} ${said}` : `${who}: ${said}`);
  }

  say(text) {
    if (this.isPaused) return;
    this.region.append(make("p", { text }));
    while (this.region.childElementCount > KEPT) this.region.firstElementChild.remove();
  }
}
