// Says new lines: to screen readers through one polite live region, and aloud through the browser's speech if wanted.
// Each line once; blank lines never; a prompt only when it differs from the one before in more than its numbers.

const KEPT = 40; // a screen reader that is busy still gets to them

export class Voice {
  constructor(region) {
    this.region = region;
    this.announces = true;
    this.speaks = false;
    this.rate = 1;
    this.voice = "";
    this.lastPrompt = "";
  }

  line(text) {
    if (/[\p{L}\p{N}]/u.test(text)) this.say(text.trim());
  }

  prompt(text) {
    const shape = text.trim().replace(/\d+/g, "0");
    if (!shape || shape === this.lastPrompt) return;
    this.lastPrompt = shape;
    this.line(text);
  }

  /** Say a text, also if new lines are not announced. */
  say(text, { always = false } = {}) {
    if (this.announces || always) {
      const line = document.createElement("p");
      line.append(text);
      this.region.append(line);
      while (this.region.childElementCount > KEPT) this.region.firstElementChild.remove();
    }
    if (this.speaks) {
      const utterance = new SpeechSynthesisUtterance(text);
      utterance.rate = this.rate;
      utterance.voice = speechSynthesis.getVoices().find((voice) => voice.name === this.voice) ?? null;
      speechSynthesis.speak(utterance);
    }
  }

  stop() {
    globalThis.speechSynthesis?.cancel();
  }
}
