// hotpath.term.v1: messages to bytes and back. Binary, one byte of kind, numbers big-endian.

export const SUBPROTOCOL = "hotpath.term.v1";

/** An ATTACH without an offset: whatever there is. */
const COLD = 2n ** 64n - 1n;

const [ATTACH, INPUT, RESIZE, ACK, PING] = [1, 2, 3, 4, 5];
const [START, OUTPUT, EXIT, GAP, PONG, SIZE, LEAD] = [129, 130, 131, 132, 133, 134, 135];
const MAX_SIDE = 1000;

/** @param {number} kind @param {number} size behind it @param {(view: DataView) => void} fill @returns {Uint8Array<ArrayBuffer>} */
function message(kind, size, fill) {
  const bytes = new Uint8Array(1 + size);
  bytes[0] = kind;
  fill(new DataView(bytes.buffer, 1));
  return bytes;
}

/** @param {number} side @returns {number} as the server takes it */
const bounded = (side) => Math.max(1, Math.min(MAX_SIDE, Math.floor(side) || 1));

/** @param {number | null} offset null: cold @param {number} cols @param {number} rows */
export const attach = (offset, cols, rows) => message(ATTACH, 12, (view) => {
  view.setBigUint64(0, offset === null ? COLD : BigInt(offset));
  view.setUint16(8, bounded(cols));
  view.setUint16(10, bounded(rows));
});

/** @param {Uint8Array} bytes */
export function input(bytes) {
  const whole = new Uint8Array(1 + bytes.length);
  whole[0] = INPUT;
  whole.set(bytes, 1);
  return whole;
}

/** @param {number} cols @param {number} rows */
export const resize = (cols, rows) => message(RESIZE, 4, (view) => {
  view.setUint16(0, bounded(cols));
  view.setUint16(2, bounded(rows));
});

/** @param {number} offset all before it is shown */
export const ack = (offset) => message(ACK, 8, (view) => view.setBigUint64(0, BigInt(offset)));

/** @param {number} number comes back */
export const ping = (number) => message(PING, 8, (view) => view.setBigUint64(0, BigInt(number)));

/**
 * @typedef {{type: "start", from: number, live: number, cols: number, rows: number, isReset: boolean}
 *   | {type: "output", offset: number, bytes: Uint8Array} | {type: "exit", status: number} | {type: "gap", offset: number}
 *   | {type: "pong", number: number} | {type: "size", cols: number, rows: number} | {type: "lead", leads: boolean}} Said
 */

/** What the server said; null: nothing that this version knows. @param {ArrayBuffer} data @returns {Said | null} */
export function read(data) {
  const view = new DataView(data);
  const u64 = (/** @type {number} */ at) => Number(view.getBigUint64(at));     // exact up to 2^53 bytes of output
  switch (view.getUint8(0)) {
    case START:
      return {type: "start", from: u64(1), live: u64(9), cols: view.getUint16(17), rows: view.getUint16(19), isReset: (view.getUint8(21) & 1) === 1};
    case OUTPUT:
      return {type: "output", offset: u64(1), bytes: new Uint8Array(data, 9)};
    case EXIT:
      return {type: "exit", status: view.getInt32(1)};
    case GAP:
      return {type: "gap", offset: u64(1)};
    case PONG:
      return {type: "pong", number: u64(1)};
    case SIZE:
      return {type: "size", cols: view.getUint16(1), rows: view.getUint16(3)};
    case LEAD:
      return {type: "lead", leads: view.getUint8(1) === 1};
    default:
      return null;
  }
}
