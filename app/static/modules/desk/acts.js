// Acts on a message with one key, with the reason that is chosen above the list.

import { post, send } from "../chat/acts.js";

const UNDO_REASON = "Undone at once by the moderator who did it.";

const imposing = (who, kind, reason) => ({
  target_kind: "player",
  target: who,
  kind,
  channel: "",
  seconds: kind === "mute" ? "3600" : "",
  reason,
});

/**
 * Mute a player for an hour, now.
 *
 * @param {string} who `Name@Game`
 * @param {import("./pending.js").Pending} pending
 */
export async function mute(who, reason, pending) {
  const { problem, address } = await send("/moderation/sanctions/new", imposing(who, "mute", reason));
  if (problem) return pending.say(problem, true);
  const id = /\/sanctions\/(\d+)$/.exec(new URL(address).pathname)[1];
  pending.show({
    text: `Muted ${who} for an hour.`,
    undo: async () => (await post(`/moderation/sanctions/${id}/undo`, { reason: UNDO_REASON })) || `The mute of ${who} is undone.`,
  });
}

/** Warn a player once the act can no longer be undone. */
export function warn(who, reason, pending) {
  later(pending, {
    text: `Warning ${who}.`,
    undone: `${who} was not warned.`,
    path: "/moderation/sanctions/new",
    fields: imposing(who, "warn", reason),
  });
}

/** Hide a message here, and redact it once the act can no longer be undone. */
export function redact(row, who, reason, pending) {
  row.classList.add("is-redacting");
  later(pending, {
    text: `Redacting the message of ${who}.`,
    undone: "The message was not redacted.",
    path: `/moderation/messages/${row.dataset.message}/redact`,
    fields: { reason },
    end: (isDone) => {
      row.classList.remove("is-redacting");
      row.classList.toggle("is-redacted", isDone);
    },
  });
}

function later(pending, { text, undone, path, fields, end = () => {} }) {
  pending.show({
    text,
    undo: async () => {
      end(false);
      return undone;
    },
    finish: async () => {
      const problem = await post(path, fields);
      end(!problem);
      if (problem) pending.say(problem, true);
    },
  });
}
