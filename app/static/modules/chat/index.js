// The list of channels of somebody who is signed in: last lines and unread counts come through the page's own connection.

import { link, username } from "../live.js";
import { channels, showInIndex } from "./index-rows.js";
import { setBadge } from "./unread.js";

link.onFrame((event, payload) => {
  if (event !== "channels/broadcast" || !channels.includes(payload.channel)) return;
  showInIndex(payload);
  if (payload.game === "Grapevine" && payload.name.toLowerCase() === username.toLowerCase()) return;
  const badge = document.querySelector(`#chat-index [data-channel="${CSS.escape(payload.channel)}"] .unread`);
  if ("isCounted" in badge.dataset) setBadge(badge, Number(badge.dataset.count ?? (parseInt(badge.textContent, 10) || 0)) + 1);
});
