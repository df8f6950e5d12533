// Turns a game's text with escape sequences into pieces of text, each with a style. Pure: no document.
// Only SGR (ECMA-48, 8.3.117) changes anything; other sequences are dropped, also when they arrive in parts.

const ESC = "\x1b";
const MAX_PENDING = 200; // an escape sequence that is longer is not one
const NONE = Object.freeze({});
const FLAGS = { 1: "bold", 2: "faint", 3: "italic", 4: "underline", 7: "inverse", 8: "hidden", 9: "strike" };
const OFF = { 22: ["bold", "faint"], 23: ["italic"], 24: ["underline"], 27: ["inverse"], 28: ["hidden"], 29: ["strike"] };

export class Ansi {
  constructor() {
    this.style = NONE;
    this.pending = "";
  }

  /**
   * Return the pieces of a text: `{ text, style }`. A style has `fg` and `bg` (a number from 0 to 255, or `[r, g, b]`),
   * and `bold`, `faint`, `italic`, `underline`, `inverse`, `hidden`, `strike`.
   */
  feed(text) {
    const input = this.pending + text;
    this.pending = "";
    const pieces = [];
    let at = 0;
    while (at < input.length) {
      const escape = input.indexOf(ESC, at);
      const end = escape < 0 ? input.length : escape;
      const plain = clean(input.slice(at, end));
      if (plain) pieces.push({ text: plain, style: this.style });
      if (escape < 0) break;
      const length = sequenceLength(input, escape);
      if (length === 0) {
        const rest = input.slice(escape);
        if (rest.length <= MAX_PENDING) this.pending = rest;
        break;
      }
      if (input[escape + 1] === "[" && input[escape + length - 1] === "m") this.select(input.slice(escape + 2, escape + length - 1));
      at = escape + length;
    }
    return pieces;
  }

  select(parameters) {
    if (!/^[\d;:]*$/.test(parameters)) return;
    const codes = parameters.split(/[;:]/).map((code) => (code === "" ? 0 : Number(code)));
    const style = { ...this.style };
    for (let at = 0; at < codes.length; at += 1) {
      const code = codes[at];
      if (code === 0) for (const key of Object.keys(style)) delete style[key];
      else if (FLAGS[code]) style[FLAGS[code]] = true;
      else if (OFF[code]) for (const flag of OFF[code]) delete style[flag];
      else if (code >= 30 && code <= 37) style.fg = code - 30;
      else if (code >= 40 && code <= 47) style.bg = code - 40;
      else if (code >= 90 && code <= 97) style.fg = code - 82;
      else if (code >= 100 && code <= 107) style.bg = code - 92;
      else if (code === 39) delete style.fg;
      else if (code === 49) delete style.bg;
      else if (code === 38 || code === 48) {
        const key = code === 38 ? "fg" : "bg";
        if (codes[at + 1] === 5 && codes[at + 2] <= 255) {
          style[key] = codes[at + 2];
          at += 2;
        } else if (codes[at + 1] === 2 && codes.length >= at + 5) {
          style[key] = codes.slice(at + 2, at + 5).map((part) => Math.min(part, 255));
          at += 4;
        } else break;
      }
    }
    this.style = Object.freeze(style);
  }
}

/** Return how long the escape sequence at a position is; 0 if its end has not arrived. */
function sequenceLength(input, start) {
  const kind = input[start + 1];
  if (kind === undefined) return 0;
  if (kind === "[") {
    for (let at = start + 2; at < input.length; at += 1) {
      const code = input.charCodeAt(at);
      if (code >= 0x40 && code <= 0x7e) return at - start + 1;
      if (code < 0x20 || code > 0x7e) return at - start; // not a sequence: drop what looked like one
    }
    return input.length - start > MAX_PENDING ? 2 : 0;
  }
  if (kind === "]" || kind === "P" || kind === "_" || kind === "^") {
    const bell = input.indexOf("\x07", start);
    const end = input.indexOf(`${ESC}\\`, start);
    if (bell >= 0 && (end < 0 || bell < end)) return bell - start + 1;
    if (end >= 0) return end - start + 2;
    return input.length - start > MAX_PENDING ? 2 : 0;
  }
  return "()*+#%".includes(kind) ? (input[start + 2] === undefined ? 0 : 3) : 2;
}

/** Remove control characters, and marks that change the direction of what follows. */
function clean(text) {
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g, "");
}
