// What a tab remembers for its session, if the browser allows storage. Keys begin with `chat/`.

const store = (() => {
  try {
    return globalThis.sessionStorage ?? null;
  } catch {
    return null;
  }
})();

/** Return a remembered value, or `otherwise`. */
export function recall(key, otherwise) {
  try {
    const text = store?.getItem(`chat/${key}`);
    return text == null ? otherwise : JSON.parse(text);
  } catch {
    return otherwise;
  }
}

/** Remember a value; undefined forgets it. */
export function remember(key, value) {
  try {
    if (value === undefined) store?.removeItem(`chat/${key}`);
    else store?.setItem(`chat/${key}`, JSON.stringify(value));
  } catch {
    // Storage is blocked or full.
  }
}

/** Forget everything unless it belongs to this account: drafts and tells are private. */
export function belongTo(user) {
  if (recall("user", "") === user) return;
  try {
    for (const key of Object.keys(store ?? {})) if (key.startsWith("chat/")) store.removeItem(key);
  } catch {
    // Storage is blocked.
  }
  remember("user", user);
}

/** Return a lasting preference of this browser. */
export function preference(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(`gossip/${name}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function setPreference(name, value) {
  try {
    localStorage.setItem(`gossip/${name}`, JSON.stringify(value));
  } catch {
    // Storage is blocked.
  }
}
