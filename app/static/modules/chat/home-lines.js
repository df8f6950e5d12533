// The last lines of one channel on the home page.

import { byId, make, root } from "./dom.js";
import { makeLine } from "./line.js";

const MAX_LINES = 8;

const list = byId("home-lines");
const shown = new Set([...list.querySelectorAll("[data-id]")].map((row) => Number(row.dataset.id)));

/** Show a new line below the others. */
export function showOnHome(line) {
  if (line.channel === list.dataset.channel) show(makeLine(line));
}

function show(row) {
  const id = Number(row.dataset.id);
  if (row.hidden || shown.has(id)) return;
  shown.add(id);
  const { name, game } = row.dataset;
  const said = row.querySelector(".said");
  const isEmote = row.classList.contains("emote");
  said.classList.toggle("emote", isEmote);
  list.append(make("li", { "data-id": id }, make("b", { text: `[${list.dataset.channel}] ` }), make("bdi", { text: name }), "@", make("i", { text: game }), isEmote ? " " : ": ", said));
  while (list.childElementCount > MAX_LINES) list.firstElementChild.remove();
  byId("home-quiet")?.remove();
}

/** Show the lines between the page and the connection. */
export async function catchUp() {
  try {
    const after = Math.max(0, ...shown);
    const answer = await fetch(`${root}/chat/${encodeURIComponent(list.dataset.channel)}/lines?after=${after}`, { cache: "no-store" });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const row of page.querySelectorAll(".line")) show(row);
  } catch {
    // The next lines still arrive.
  }
}
