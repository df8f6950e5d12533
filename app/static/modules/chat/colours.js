// One of ten hues for each name@game, the same on every page and in app/chat/colours.py. The stylesheet has the colours.

export const HUES = 10;

/** Return the number of a speaker's hue. */
export function hueOf(name, game) {
  let hash = 0x811c9dc5; // FNV-1a
  for (const byte of new TextEncoder().encode(`${name}@${game}`.toLowerCase())) {
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  return (hash >>> 0) % HUES;
}
