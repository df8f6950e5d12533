// Gauges from GMCP, where a message has a value and its maximum: `hp` and `maxhp`, `mana` and `maxmana` …

const PACKAGES = /^char\.(vitals|status|maxstats|stats)$/i;
const NAMES = { hp: "Health", health: "Health", mp: "Mana", mana: "Mana", sp: "Spirit", ep: "Endurance", wp: "Willpower", mv: "Moves", moves: "Moves", move: "Moves", stamina: "Stamina", energy: "Energy" };

/** Return the gauges in the known values: `{ key, name, value, max }`. Pure. */
export function findGauges(values) {
  const gauges = [];
  for (const [key, name] of Object.entries(NAMES)) {
    const value = Number(values[key]);
    const max = Number(values[`max${key}`] ?? values[`${key}max`] ?? values[`max_${key}`] ?? values[`${key}_max`]);
    if (Number.isFinite(value) && max > 0) gauges.push({ key, name, value, max });
  }
  return gauges;
}

export class Gauges {
  constructor(element) {
    this.element = element;
    this.values = Object.create(null);
  }

  /** Take a message. Returns whether it was for the gauges. */
  take(name, data) {
    if (!PACKAGES.test(name) || data === null || typeof data !== "object") return false;
    for (const [key, value] of Object.entries(data)) this.values[key.toLowerCase()] = value;
    this.show();
    return true;
  }

  show() {
    const gauges = findGauges(this.values);
    this.element.hidden = gauges.length === 0;
    this.element.replaceChildren(
      ...gauges.map(({ name, value, max }) => {
        const label = document.createElement("label");
        const meter = document.createElement("meter");
        meter.max = max;
        meter.low = max / 4;
        meter.value = value;
        label.append(`${name} `, meter, ` ${value}/${max}`);
        return label;
      }),
    );
  }

  clear() {
    this.values = Object.create(null);
    this.show();
  }
}
