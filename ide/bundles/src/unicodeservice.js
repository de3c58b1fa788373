// How xterm packs a character's width and joining into one number: what the addon for Unicode 11 needs of xterm's own
// class, which would bring 9 KB with it.

export const UnicodeService = {
  /** @param {number} value @returns {number} */
  extractWidth: (value) => (value >> 1) & 3,
  /** @param {number} state @param {number} width @param {boolean} joins @returns {number} */
  createPropertyValue: (state, width, joins = false) => ((state & 0xffffff) << 3) | ((width & 3) << 1) | (joins ? 1 : 0),
};
