// Small values kept in the browser: for ever, or for this tab. Browsers may refuse either; then nothing is kept.

/** null if it is not there. */
export function read(name, storage = "localStorage") {
  try {
    return window[storage].getItem(name);
  } catch {
    return null;
  }
}

/** null removes it. */
export function write(name, value, storage = "localStorage") {
  try {
    if (value === null) window[storage].removeItem(name);
    else window[storage].setItem(name, value);
  } catch {
    // The page works without.
  }
}
