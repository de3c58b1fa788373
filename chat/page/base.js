// Where the server is: the page works behind any prefix, and its own address tells which.

const BASE = new URL("..", import.meta.url);

/** @param {string} path below the server, no slash first @returns {string} its address */
export const at = (path) => new URL(path, BASE).href;

/** @returns {string | null} where one is, below the server; null: elsewhere. @param {URL | Location | HTMLAnchorElement} where */
export const placeOf = ({origin, pathname, hash}) =>
  origin === BASE.origin && pathname.startsWith(BASE.pathname) ? pathname.slice(BASE.pathname.length) + hash : null;

/** @param {string} address absolute, or below the server @returns {URL} of a websocket */
export function socketAt(address) {
  const url = new URL(address, BASE);
  url.protocol = url.protocol.replace(/^http/, "ws");
  return url;
}
