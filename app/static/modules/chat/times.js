// Times in the reader's zone and language.

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const days = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });

/** Show a `time` element's moment: `7:31 PM` or `19:31`, and the whole date on hover. */
export function localize(time) {
  const moment = new Date(time.dateTime);
  time.textContent = clock.format(moment);
  time.title = whole.format(moment);
}

export const dayName = (moment) => days.format(moment);
export const clockTime = (moment) => clock.format(moment);

/** Return a length in words: `2 minutes`. */
export function lengthOf(seconds) {
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const [unit, size] = units.find(([, size]) => seconds >= size) ?? units[3];
  const count = Math.ceil(seconds / size);
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}
