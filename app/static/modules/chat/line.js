// One line of a room as an element, in the form of app/chat/text.py.

import { hueOf } from "./colours.js";
import { make, root } from "./dom.js";
import { emote, pieces } from "./text.js";
import { localize } from "./times.js";

export const isNotice = (name, game) => name === "system" && game === "Grapevine";

export const addressOf = (id) => `${location.origin}${root}/chat/lines/${id}`;

function linked(text) {
  return pieces(text).map((piece) =>
    piece.address
      ? make("a", { href: piece.address, rel: "nofollow noopener ugc", target: "_blank", text: piece.text })
      : piece.text,
  );
}

/** Build a line of a channel. `id` is missing for lines that are not stored (yet). */
export function makeLine({ id, name, game, message, sent_at }) {
  const action = emote(message);
  const kind = `line${action === null ? "" : " emote"}${isNotice(name, game) ? " notice" : ""}`;
  const time = make("time", { datetime: sent_at });
  const body = make(
    "p",
    {},
    make("b", { class: `who hue-${hueOf(name, game)}` }, make("bdi", { text: name })),
    make("span", { class: "from" }, "@", make("bdi", { text: game })),
    " ",
    make("span", { class: "said", dir: "auto" }, ...linked(action ?? message)),
  );
  const at = id === undefined ? make("span", { class: "at" }, time) : make("a", { class: "at", href: `${root}/chat/lines/${id}` }, time);
  const row = make("li", { class: kind, "data-name": name, "data-game": game }, at, body);
  if (id !== undefined) {
    row.dataset.id = id;
    row.id = `line-${id}`;
  }
  return row;
}

/** Build a tell. It says who speaks to whom. */
export function makeTell({ name, game, text, sent_at, isOwn }) {
  const row = makeLine({ name, game, message: text, sent_at });
  row.classList.add("tell");
  if (isOwn) row.classList.add("own");
  const who = row.querySelector(".who");
  if (isOwn) who.before("You tell ");
  row.querySelector(".from").after(isOwn ? ":" : " tells you:");
  return row;
}

/** Prepare a line for this reader: local time, one Tab stop for the whole log, a menu, marks. */
export function dress(row, { username, mentions, isInteractive }) {
  if (row.hidden) return row;
  localize(row.querySelector("time"));
  const { name, game } = row.dataset;
  const isOwn = game === "Grapevine" && name.toLowerCase() === username.toLowerCase();
  row.classList.toggle("own", isOwn || row.classList.contains("own"));
  row.classList.toggle("mentions", !isOwn && !isNotice(name, game) && mentions(row.querySelector(".said").textContent));
  for (const link of row.querySelectorAll("a")) link.tabIndex = -1;
  row.tabIndex = -1;
  if (!isInteractive) return row;
  row.querySelector(".report")?.remove();
  if (!isNotice(name, game) && !row.querySelector(".line-menu")) {
    row.append(make("button", { class: "line-menu", type: "button", tabindex: -1, "aria-label": `Actions for what ${name} said`, "aria-haspopup": "menu", text: "⋯" }));
  }
  return row;
}

/** Return what grouping needs to know of a line. */
export const groupingOf = (row) => ({
  speaker: `${row.dataset.name}@${row.dataset.game}${row.classList.contains("tell") ? "/tell" : ""}`,
  at: Date.parse(row.querySelector("time").dateTime),
  isEmote: row.classList.contains("emote"),
});
