// Numbers and times in words.

/** @param {number} bytes @returns {string} */
export function sizeOf(bytes) {
  const units = ["B", "KB", "MB", "GB"];
  let place = 0;
  while (bytes >= 1000 && place < units.length - 1) {
    bytes /= 1024;
    place++;
  }
  return `${place && bytes < 10 ? bytes.toFixed(1) : Math.round(bytes)} ${units[place]}`;
}

const relative = new Intl.RelativeTimeFormat("en", {numeric: "auto"});
/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const STEPS = [["year", 31_536_000], ["month", 2_592_000], ["week", 604_800], ["day", 86_400], ["hour", 3600], ["minute", 60]];

/** @param {string} time RFC 3339 @returns {string} */
export function ago(time) {
  const seconds = (Date.parse(time) - Date.now()) / 1000;
  const [unit, size] = STEPS.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 0];
  return Number.isNaN(seconds) ? "" : size ? relative.format(Math.round(seconds / size), unit) : "just now";
}

/** @param {string} time RFC 3339 @returns {string} */
export const moment = (time) => new Date(time).toLocaleString("en", {dateStyle: "medium", timeStyle: "short"});

/** @param {number} n @param {string} thing @returns {string} */
export const count = (n, thing) => `${n.toLocaleString("en")} ${thing}${n === 1 ? "" : "s"}`;
