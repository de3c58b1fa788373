// How is a value typed and shown? As JSON; a text that is no JSON needs no quotes.

/** @typedef {{value?: unknown, value_b64?: string}} Value as in our JSON: exactly one of the two */

/** @param {string} text @returns {unknown} the JSON value it spells, or itself */
export function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** @param {Value} value @returns {string} a text that `read` turns into the value again; bytes are only described */
export function shown({value, value_b64: base64}) {
  if (base64 !== undefined) {
    return `${atob(base64).length} bytes, base64 ${base64}`;
  }
  return typeof value === "string" && read(value) === value ? value : JSON.stringify(value);
}
