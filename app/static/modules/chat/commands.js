// What a line in the input means: something to say, a tell, or another command. Pure.

/** The commands, with their arguments and what they do. */
export const COMMANDS = [
  ["/tell", "Name@Game text", "sends a private message"],
  ["/r", "text", "answers the last tell"],
  ["/me", "text", "says what you do: * you wave"],
  ["/ignore", "Name@Game", "hides what a player says"],
  ["/who", "", "lists who is listening"],
  ["/help", "", "shows commands and keys"],
];

const OTHER_NAMES = { "/reply": "/r", "/t": "/tell" };
const NAMES = new Set(COMMANDS.map(([name]) => name));

/**
 * Parse a line. A line that begins with a single word like `/usr/bin` is something to say, and `//who` says `/who`.
 *
 * @returns {{ kind: "say" | "tell" | "reply" | "ignore" | "who" | "help" | "wrong" | "empty" }} with `text`, `name` and
 *   `game`; `wrong` has in `text` what to type instead.
 */
export function parse(input) {
  const line = input.trim();
  if (!line) return { kind: "empty" };
  if (line.startsWith("//")) return { kind: "say", text: line.slice(1) };
  const [, word, rest] = /^(\/[^\s]*)?\s*([^]*)$/.exec(line);
  if (!word) return { kind: "say", text: line };
  const typed = word.toLowerCase();
  const command = OTHER_NAMES[typed] ?? typed;
  if (!NAMES.has(command)) {
    if (!/^\/\p{L}+$/u.test(word)) return { kind: "say", text: line }; // a path, a smiley, a fraction
    return { kind: "wrong", text: `There is no command ${word}. To say this line, type /${word}. /help shows the commands.` };
  }
  if (command === "/who" || command === "/help") return { kind: command.slice(1) };
  if (command === "/me") {
    return rest ? { kind: "say", text: `/me ${rest}` } : { kind: "wrong", text: "Say what you do: /me waves" };
  }
  if (command === "/r") {
    return rest ? { kind: "reply", text: rest } : { kind: "wrong", text: "Add what to answer: /r Hello!" };
  }
  if (command === "/ignore") {
    const to = splitAddress(rest);
    return to ? { kind: "ignore", ...to } : { kind: "wrong", text: "Say whom, with their game: /ignore Name@Game" };
  }
  const tell = /^([^@]+@\S+)\s+([^]+)$/.exec(rest);
  const to = tell && splitAddress(tell[1]);
  return to
    ? { kind: "tell", ...to, text: tell[2].trim() }
    : { kind: "wrong", text: "Say whom, with their game, and what: /tell Name@Game Hello!" };
}

/** Split `Name@Game`; null if it is something else. */
export function splitAddress(address) {
  const at = address.lastIndexOf("@");
  const name = address.slice(0, at).trim();
  const game = address.slice(at + 1).trim();
  return at > 0 && name && game && !/\s/.test(game) ? { name, game } : null;
}
