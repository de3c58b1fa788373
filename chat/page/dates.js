// Times as people say them, in their own place.

const CLOCK = new Intl.DateTimeFormat(undefined, {hour: "numeric", minute: "2-digit"});
const DAY = new Intl.DateTimeFormat(undefined, {weekday: "long", day: "numeric", month: "long"});
const DAY_AND_YEAR = new Intl.DateTimeFormat(undefined, {weekday: "long", day: "numeric", month: "long", year: "numeric"});
const FULL = new Intl.DateTimeFormat(undefined, {dateStyle: "full", timeStyle: "medium"});
const DAY_MS = 86_400_000;

/** @param {number} at */
export const clock = (at) => CLOCK.format(at);

/** As short as the gutter is narrow. @param {number} at */
export const shortClock = (at) => CLOCK.formatToParts(at).filter(({type}) => type === "hour" || type === "minute")
  .map(({value}) => value).join(":");

/** @param {number} at */
export const full = (at) => FULL.format(at);

/** @param {number} at @returns {string} names the day, the same for all its times */
export const dayKey = (at) => new Date(at).toDateString();

/** @param {number} at @param {number} now */
export function day(at, now = Date.now()) {
  if (dayKey(at) === dayKey(now)) {
    return "Today";
  }
  if (dayKey(at) === dayKey(now - DAY_MS)) {
    return "Yesterday";
  }
  return (new Date(at).getFullYear() === new Date(now).getFullYear() ? DAY : DAY_AND_YEAR).format(at);
}

/** @param {number} at */
export const dayAndClock = (at) => `${day(at)}, ${clock(at)}`;
