// The commands that were typed, for recall. Pure. Passwords never get here.

const MAX = 200;

export class History {
  constructor() {
    this.lines = [];
    this.at = null; // the recalled line; null while the player's own text is shown
    this.own = "";
  }

  add(line) {
    this.at = null;
    if (!line.trim() || line === this.lines.at(-1)) return;
    this.lines.push(line);
    if (this.lines.length > MAX) this.lines.shift();
  }

  /** Return the line before or after the shown one that begins as the player's own text does; null if there is none. */
  step(direction, shown) {
    if (this.at === null) this.own = shown;
    let at = this.at ?? this.lines.length;
    do at += direction;
    while (at >= 0 && at < this.lines.length && !this.lines[at].startsWith(this.own));
    if (at < 0) return null;
    if (at >= this.lines.length) {
      if (this.at === null) return null;
      this.at = null;
      return this.own;
    }
    this.at = at;
    return this.lines[at];
  }
}
