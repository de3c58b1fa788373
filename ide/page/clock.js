// How long something takes, as a clock shows it.

/** @param {number} seconds @returns {string} 0:07, 12:30, 1:02:03 */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return (parts[0] ? [String(parts[0]), String(parts[1]).padStart(2, "0")] : [String(parts[1])])
    .concat(String(parts[2]).padStart(2, "0")).join(":");
}
