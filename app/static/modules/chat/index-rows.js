// The list of channels: the last line of each, as it comes.

import { byId, make } from "./dom.js";
import { emote } from "./text.js";

const rows = new Map([...byId("chat-index").children].map((row) => [row.dataset.channel, row]));

export const channels = [...rows.keys()];

/** Replace the last line of a channel. */
export function showInIndex({ channel, name, game, message, sent_at }) {
  const last = rows.get(channel)?.querySelector(".last-line");
  if (!last) return;
  const action = emote(message);
  last.hidden = false;
  last.replaceChildren(
    make("b", {}, make("bdi", { text: name })),
    make("span", { class: "soft", text: `@${game}, ` }),
    make("time", { class: "soft", datetime: sent_at, text: "now" }),
    ": ",
    make("span", { class: action === null ? "said" : "said emote", dir: "auto", text: action ?? message }),
  );
}
