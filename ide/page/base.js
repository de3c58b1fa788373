// Where the server is: the page works under any base path, and its own address tells which.

const BASE = new URL("..", import.meta.url);

/** @param {string} path below the base, no slash first @returns {string} */
export const at = (path) => new URL(path, BASE).href;

/** @param {string} path @returns {string} of a websocket */
export function socketAt(path) {
  const url = new URL(path, BASE);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/** @param {string} text a path or a part of one @returns {string} as the server writes it in `href` */
export const hrefOf = (text) => text.split("/").map((part) =>
  encodeURIComponent(part).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`)).join("/");

/** @param {string} href @returns {string} to be shown: bytes that are no UTF-8 become U+FFFD */
export function shown(href) {
  try {
    return decodeURIComponent(href);
  } catch {
    const bytes = href.replace(/%([0-9A-Fa-f]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
    return new TextDecoder().decode(Uint8Array.from(bytes, (sign) => sign.charCodeAt(0)));
  }
}

/** @param {string} href @returns {string} the folder it lies in; "" is the root */
export const folderOf = (href) => href.slice(0, Math.max(0, href.lastIndexOf("/")));

/** @param {string} href @returns {string} its last segment */
export const lastOf = (href) => href.slice(href.lastIndexOf("/") + 1);

/** @param {string} folder @param {string} last @returns {string} */
export const within = (folder, last) => folder ? `${folder}/${last}` : last;

/** @param {string} href @param {string} folder @returns {boolean} whether it is that, or lies in it */
export const isWithin = (href, folder) => folder === "" || href === folder || href.startsWith(`${folder}/`);
