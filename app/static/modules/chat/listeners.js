// Who is listening to the current channel.

import { byId, make, root } from "./dom.js";

const SECONDS = 30;

export class Listeners {
  constructor(chat, link) {
    this.chat = chat;
    this.link = link;
    this.timer = 0;
    this.people = [];
    const wide = matchMedia("(min-width: 62rem)");
    this.unfold = () => { byId("chat-here").open = wide.matches; };
    wide.addEventListener("change", this.unfold);
    this.unfold();
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.refresh();
    });
  }

  show(areKnown) {
    if (!this.chat.dataset.channel) return;
    byId("chat-who").hidden = !areKnown;
    byId("chat-who-unknown").hidden = areKnown;
  }

  /** Ask who is listening now. Returns `{ people, games }`; null if that is unknown. */
  async refresh() {
    clearTimeout(this.timer);
    const { channel } = this.chat.dataset;
    if (!channel || this.link.state.name !== "joined") return null;
    this.timer = setTimeout(() => {
      if (!document.hidden) this.refresh();
    }, SECONDS * 1000);
    const { payload } = await this.link.ask("channels/listeners", { channel });
    if (!payload || channel !== this.chat.dataset.channel) return null;
    this.show(true);
    this.people = payload.people;
    const entry = (href, text, more) =>
      make("li", {}, make("a", { href: root + href + encodeURIComponent(text) }, make("bdi", { text })), more === undefined ? null : " ", more === undefined ? null : make("span", { class: "soft", text: String(more) }));
    byId("chat-people-count").textContent = payload.people_count;
    byId("chat-people").replaceChildren(...payload.people.map((name) => entry("/players/", name)));
    byId("chat-games").replaceChildren(...payload.games.map(({ game, players }) => entry("/games/", game, players)));
    return payload;
  }
}
