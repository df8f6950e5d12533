// Which lines stand under one name. Pure; the same rules as in app/chat/text.py.

const WITHIN_MILLISECONDS = 5 * 60 * 1000;

/**
 * Return whether a line belongs under the name of the line before it.
 *
 * @param {{ speaker: string, at: number, isEmote: boolean }} before The line before; `at` is in milliseconds.
 * @param {{ speaker: string, at: number, isEmote: boolean }} line
 */
export function isGrouped(before, line) {
  if (!before || before.isEmote || line.isEmote || before.speaker !== line.speaker) return false;
  return Math.abs(line.at - before.at) < WITHIN_MILLISECONDS;
}
