// The player's settings, kept in this browser for all games.

const KEY = "gossip/play";
const DEFAULTS = {
  reader: false, announce: true, size: 100, height: 140, font: "mono", encoding: "", words: "", notify: false,
  speak: false, voice: "", rate: 100,
};

export class Settings {
  /** @param {(name: string, value: unknown) => void} onChange Called with each setting at the start, and when it changes. */
  constructor(onChange) {
    this.values = { ...DEFAULTS, ...read() };
    this.onChange = onChange;
    for (const name of Object.keys(DEFAULTS)) {
      const field = document.getElementById(`play-${name}`);
      const isTick = field.type === "checkbox";
      if (isTick) field.checked = this.values[name];
      else field.value = this.values[name];
      field.addEventListener("input", () => this.set(name, isTick ? field.checked : field.type === "range" ? Number(field.value) : field.value));
      onChange(name, this.values[name]);
    }
  }

  set(name, value) {
    this.values[name] = value;
    try {
      localStorage.setItem(KEY, JSON.stringify(this.values));
    } catch {
      // Storage is blocked: the setting lasts as long as the page.
    }
    this.onChange(name, value);
  }
}

function read() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch {
    return {};
  }
}
