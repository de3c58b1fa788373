// The keys of a row of tabs: arrows, Home and End go along it, Delete shuts one, Enter and the space bar go in.

/**
 * @param {KeyboardEvent} event @param {string[]} ids from left to right @param {string} active
 * @param {{go: (id: string) => unknown, shut: (id: string) => unknown, enter: () => unknown}} ways
 */
export function tabKeys(event, ids, active, {go, shut, enter}) {
  const here = ids.indexOf(active);
  const to = {ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: -1}[event.key];
  if (to !== undefined && ids.length) {
    event.preventDefault();
    go(/** @type {string} */ (ids.at(to % ids.length)));
  } else if (event.key === "Delete") {
    shut(active);
  } else if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    enter();
  }
}
