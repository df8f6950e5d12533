// The output: lines of real text nodes, built from the pieces of `ansi.js`. Never HTML of the game.

import { colours } from "./colours.js";

const MAX_LINES = 3_000;
const URL = /\bhttps?:\/\/[^\s<>"'`]+[^\s<>"'`.,;:!?)\]]/g;

export class Lines {
  /**
   * @param {HTMLElement} log Where the lines go.
   * @param {(line: HTMLElement, text: string, kind: "line" | "prompt") => void} onLine Called with each complete line.
   */
  constructor(log, onLine) {
    this.log = log;
    this.onLine = onLine;
    this.current = null;
    this.words = null;
    this.page = pageColours(log);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.repaint());
  }

  /** Highlight these words from now on. */
  highlight(words) {
    const escaped = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    this.words = escaped.length ? new RegExp(`(?<![\\p{L}\\p{N}])(?:${escaped.join("|")})(?![\\p{L}\\p{N}])`, "giu") : null;
  }

  /** Add pieces of text. */
  add(pieces) {
    const follows = this.isAtEnd;
    for (const { text, style } of pieces) {
      text.split("\n").forEach((part, number) => {
        if (number > 0) this.finish("line");
        if (part) this.open().append(this.piece(part, style));
      });
    }
    this.trim();
    if (follows) this.toEnd();
    return follows;
  }

  /** End the current line: the game has marked it as a prompt, or the player has answered it. */
  finish(kind) {
    const line = this.open();
    this.current = null;
    if (kind === "prompt" && !line.textContent.trim()) {
      line.remove();
      return;
    }
    line.dataset.kind = kind;
    this.onLine(line, line.textContent, kind);
  }

  /** Show what the player has typed, after the prompt. */
  typed(text) {
    const follows = this.isAtEnd;
    const prompt = this.current ?? (this.log.lastElementChild?.dataset.kind === "prompt" ? this.log.lastElementChild : null);
    const span = document.createElement("span");
    span.className = "typed";
    span.append(prompt ? text : `> ${text}`);
    (prompt ?? this.open()).append(span);
    if (prompt) prompt.dataset.kind = "answered";
    this.current = null;
    if (follows) this.toEnd();
  }

  /** Show a sentence of the page itself. */
  note(text) {
    if (this.current) this.finish("line");
    const line = this.open();
    line.className = "note";
    line.append(text);
    this.current = null;
    this.toEnd();
  }

  clear() {
    this.log.replaceChildren();
    this.current = null;
  }

  open() {
    if (!this.current) {
      this.current = document.createElement("div");
      this.log.append(this.current);
    }
    return this.current;
  }

  piece(text, style) {
    const plain = Object.keys(style).length === 0;
    const element = document.createElement("span");
    if (style.hidden) return element;
    element.append(...this.decorate(text));
    if (plain) return element.childNodes.length === 1 ? element.firstChild : element;
    if (style.bold) element.style.fontWeight = "700";
    if (style.italic) element.style.fontStyle = "italic";
    if (style.underline || style.strike) element.style.textDecoration = [style.underline && "underline", style.strike && "line-through"].filter(Boolean).join(" ");
    element.styleOfGame = style;
    this.paint(element);
    return element;
  }

  /** Return the nodes of a text: links for addresses of pages, marks for words. */
  decorate(text) {
    const nodes = [];
    let at = 0;
    for (const match of text.matchAll(URL)) {
      nodes.push(...this.mark(text.slice(at, match.index)));
      const link = document.createElement("a");
      link.href = match[0];
      link.rel = "noopener noreferrer nofollow";
      link.target = "_blank";
      link.append(match[0]);
      nodes.push(link);
      at = match.index + match[0].length;
    }
    return [...nodes, ...this.mark(text.slice(at))];
  }

  mark(text) {
    if (!this.words) return text ? [text] : [];
    const nodes = [];
    let at = 0;
    for (const match of text.matchAll(this.words)) {
      if (match.index > at) nodes.push(text.slice(at, match.index));
      const mark = document.createElement("mark");
      mark.append(match[0]);
      nodes.push(mark);
      at = match.index + match[0].length;
    }
    if (at < text.length) nodes.push(text.slice(at));
    return nodes;
  }

  paint(element) {
    const { color, background } = colours(element.styleOfGame, this.page);
    element.style.color = color ?? "";
    element.style.backgroundColor = background ?? "";
  }

  /** Choose the colours again, since the page's own have changed. */
  repaint() {
    this.page = pageColours(this.log);
    for (const element of this.log.querySelectorAll("span")) if (element.styleOfGame) this.paint(element);
  }

  trim() {
    while (this.log.childElementCount > MAX_LINES) this.log.firstElementChild.remove();
  }

  get isAtEnd() {
    return this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 40;
  }

  toEnd() {
    this.log.scrollTop = this.log.scrollHeight;
  }

  get text() {
    return [...this.log.children].map((line) => line.textContent).join("\n");
  }
}

function pageColours(element) {
  const style = getComputedStyle(element);
  const parse = (text) => text.match(/[\d.]+/g).slice(0, 3).map(Number);
  return { ink: parse(style.color), paper: parse(style.backgroundColor) };
}
