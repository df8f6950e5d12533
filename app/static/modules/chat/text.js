// What a message's text means: addresses, emotes, mentions, and what the network would change in it. Pure.

export const MAX_TEXT = 4000; // characters (code points), as the worker counts them

/** Split a text into pieces, `{ text, address? }`, with the rules of app/chat/text.py for web addresses. */
export function pieces(text) {
  const found = [];
  let end = 0;
  for (const match of text.matchAll(/https?:\/\/[^\s<>"']+/gi)) {
    const address = withoutPunctuation(match[0]);
    if (!address.includes("://") || address.length <= "https://".length) continue;
    if (match.index > end) found.push({ text: text.slice(end, match.index) });
    found.push({ text: address, address });
    end = match.index + address.length;
  }
  if (end < text.length) found.push({ text: text.slice(end) });
  return found;
}

function withoutPunctuation(address) {
  const unpaired = {};
  for (const pair of ["()", "[]", "{}"]) {
    unpaired[pair[1]] = address.split(pair[1]).length - address.split(pair[0]).length;
  }
  let end = address.length;
  for (; end; end -= 1) {
    const last = address[end - 1];
    if (unpaired[last] > 0) unpaired[last] -= 1;
    else if (!".,;:!?*_~".includes(last)) break;
  }
  return address.slice(0, end);
}

/** Return what somebody does (`/me waves` is `waves`); null if the text is no emote. */
export function emote(text) {
  const match = /^\/me\s+([^]*)$/i.exec(text);
  return match && match[1];
}

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** Return a function that tells whether a text mentions this name, as a whole word in any case. */
export function mentionOf(name) {
  if (!name) return () => false;
  const pattern = new RegExp(`(?<![\\p{L}\\p{N}_-])${escaped(name)}(?![\\p{L}\\p{N}_-])`, "iu");
  return (text) => pattern.test(text);
}

/** Return how many characters a text has too many; negative if there is room. */
export const excess = (text) => [...text].length - MAX_TEXT;

// The network removes what some game could take for a tag. A space after its `<` makes it text for everybody.
const TAG = /<(?=[/!?]?[A-Za-z]|!-|!\[)/g;

/** Return the text so that no part of it is removed as a tag. */
export const withoutTags = (text) => (text.includes(">") ? text.replace(TAG, "< ") : text);

/** Return the text in the form in which the network stores it, to recognize a line that was sent. */
export const comparable = (text) => withoutTags(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, "").trim();
