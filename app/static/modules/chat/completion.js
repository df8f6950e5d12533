// Completing names and commands with Tab. Pure.

/**
 * Return the completions of the word before the caret.
 *
 * @param {string} before The text before the caret.
 * @param {string[]} names People and players as `Name@Game`, those who spoke last first.
 * @param {string[]} commands Names of commands.
 * @returns {{ start: number, choices: string[] }} Where the word starts, and the texts to replace it with.
 */
export function completions(before, names, commands) {
  if (/^\/\S*$/.test(before)) {
    const typed = before.toLowerCase();
    return { start: 0, choices: commands.filter((name) => name.startsWith(typed)).map((name) => `${name} `) };
  }
  const takesAddress = /^\/(tell|t|ignore)\s+([^@\s]*(?:@\S*)?)$/i.exec(before);
  const word = takesAddress ? takesAddress[2] : /[\p{L}\p{N}_@'-]*$/u.exec(before)[0];
  const start = before.length - word.length;
  const typed = word.replace(/^@/, "").toLowerCase();
  if (!typed) return { start, choices: [] };
  const choices = names.filter((name) => name.toLowerCase().startsWith(typed));
  if (takesAddress) return { start, choices: choices.map((name) => `${name} `) };
  const ending = start === 0 ? ": " : " ";
  return { start, choices: [...new Set(choices.map((name) => name.slice(0, name.lastIndexOf("@")) + ending))] };
}
