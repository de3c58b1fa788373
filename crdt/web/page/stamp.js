// What does a stamp say? `<16 hex digits>-<replica>`: milliseconds in the upper 48 bits, a counter in the lower 16.

/** Of fixed width with the name behind, so that text order is the order of stamps: hlc first, then replica. */
/** @typedef {string} Stamp */

/** @param {Stamp} stamp @returns {string} the replica that wrote */
export const writerOf = (stamp) => stamp.slice(17);

/** @param {Stamp} stamp @returns {number} milliseconds since 1970; 48 bits fit a double */
const millisecondsOf = (stamp) => Number.parseInt(stamp.slice(0, 12), 16);

/** @param {Stamp} stamp @returns {number} how many writes shared that millisecond before */
const counterOf = (stamp) => Number.parseInt(stamp.slice(12, 16), 16);

/** @param {Stamp | undefined} one @param {Stamp | undefined} other @returns {boolean} whether `one` is the later; nothing is the earliest */
export const isLater = (one, other) => one !== undefined && (other === undefined || one > other);

/** @param {number} value @param {number} digits @returns {string} */
const padded = (value, digits) => String(value).padStart(digits, "0");

/** @param {Stamp} stamp @returns {string} the time of day here; the date too unless it is today's; the counter when there is one */
export function timeOf(stamp) {
  const date = new Date(millisecondsOf(stamp));
  const time = `${padded(date.getHours(), 2)}:${padded(date.getMinutes(), 2)}:${padded(date.getSeconds(), 2)}`
    + `.${padded(date.getMilliseconds(), 3)}`;
  const day = `${date.getFullYear()}-${padded(date.getMonth() + 1, 2)}-${padded(date.getDate(), 2)}`;
  const counter = counterOf(stamp);
  const isToday = date.toDateString() === new Date().toDateString();
  return `${isToday ? "" : `${day} `}${time}${counter === 0 ? "" : ` +${counter}`}`;
}
