// The colours of a style, always readable: a text colour moves towards black or white until it stands out enough.
// Pure: no document.

const CONTRAST = 4.5; // WCAG 2.2, 1.4.3
const BASIC = [
  [0, 0, 0], [187, 0, 0], [0, 150, 0], [170, 110, 0], [60, 80, 220], [170, 0, 170], [0, 140, 150], [187, 187, 187],
  [105, 105, 105], [255, 85, 85], [85, 230, 85], [240, 230, 80], [120, 140, 255], [255, 110, 255], [85, 240, 240], [255, 255, 255],
];
const STEPS = [0, 95, 135, 175, 215, 255];

/** Return a colour of the palette of 256, or a true colour, as [r, g, b]. */
export function rgb(colour) {
  if (Array.isArray(colour)) return colour;
  if (colour < 16) return BASIC[colour];
  if (colour >= 232) return Array(3).fill(8 + 10 * (colour - 232));
  const number = colour - 16;
  return [STEPS[Math.floor(number / 36)], STEPS[Math.floor(number / 6) % 6], STEPS[number % 6]];
}

/** Return the relative luminance of a colour. */
export function luminance(colour) {
  const [red, green, blue] = colour.map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

export function contrast(one, other) {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

/** Return a text colour that can be read on a background, as close to the wanted one as possible. */
export function readable(colour, background) {
  if (contrast(colour, background) >= CONTRAST) return colour;
  const goal = contrast([0, 0, 0], background) > contrast([255, 255, 255], background) ? 0 : 255;
  for (let share = 0.1; share < 1; share += 0.1) {
    const moved = colour.map((part) => Math.round(part + (goal - part) * share));
    if (contrast(moved, background) >= CONTRAST) return moved;
  }
  return [goal, goal, goal];
}

/**
 * Return the colours of a style as CSS: `{ color, background }`, each null for the page's own.
 *
 * @param {object} style As `ansi.js` makes it.
 * @param {{ ink: number[], paper: number[] }} page The page's own colours.
 */
export function colours(style, page) {
  let ink = style.fg === undefined ? null : rgb(style.bold && style.fg < 8 ? style.fg + 8 : style.fg);
  let paper = style.bg === undefined ? null : rgb(style.bg);
  if (style.inverse) [ink, paper] = [paper ?? page.paper, ink ?? page.ink];
  if (ink === null && paper === null) return { color: null, background: null };
  const text = readable(ink ?? page.ink, paper ?? page.paper);
  return { color: css(text), background: paper && css(paper) };
}

function css(colour) {
  return `rgb(${colour.join(" ")})`;
}
