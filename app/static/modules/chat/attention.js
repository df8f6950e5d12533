// What a tab shows while nobody looks at it: a count in its title and icon, and notifications if the reader allows them.

import { byId } from "./dom.js";
import { preference } from "./storage.js";

export class Attention {
  constructor(iconAddress) {
    this.title = document.title;
    this.icon = byId("icon");
    this.plainIcon = this.icon.href;
    this.iconAddress = iconAddress;
    this.count = 0; // mentions and tells
    this.hasOther = false; // other new lines
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.clear();
    });
  }

  /** Use another title, when the page shows another room. */
  entitle(title) {
    this.title = title;
    this.show();
  }

  clear() {
    this.count = 0;
    this.hasOther = false;
    this.show();
  }

  /** Count a new line that is not addressed to the reader. */
  noteLine() {
    if (!document.hidden) return;
    this.hasOther = true;
    this.show();
  }

  /** Count a mention or a tell, and notify. `tag` keeps several tabs from notifying of the same one. */
  call({ title, body, tag, open }) {
    if (!document.hidden) return;
    this.count += 1;
    this.show();
    if (!preference("notifications", false) || globalThis.Notification?.permission !== "granted") return;
    try {
      const notification = new Notification(title, { body, tag });
      notification.onclick = () => {
        window.focus();
        open?.();
        notification.close();
      };
    } catch {
      // Some phones show notifications only from service workers.
    }
  }

  show() {
    const mark = this.count ? `(${this.count}) ` : this.hasOther ? "• " : "";
    document.title = mark + this.title;
    this.icon.href = this.count ? this.iconAddress.replace(/\d+(?=\.svg)/, Math.min(this.count, 10)) : this.plainIcon;
  }
}
