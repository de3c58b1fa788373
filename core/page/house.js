// The way back to the landing page, on the pages of systems that stand behind the same door.

import {keep, recall} from "./memory.js";

const KEY = "hotpath/house";            // the landing page's path, on this origin

const here = () => new URL(".", document.baseURI);

/** Said by the landing page: the systems are below it. */
export const weAreHome = () => keep(KEY, here().pathname);

/**
 * Have a link lead to the landing page, if this page's system is below one.
 * @param {HTMLAnchorElement} link that leads nowhere yet @param {URL} root of the system
 */
export function wayHome(link, root = here()) {
  const home = recall(KEY);
  if (home !== null && root.pathname !== home && root.pathname.startsWith(home)) {
    link.href = home;
    link.title = "hotpath: all systems";
    link.setAttribute("aria-label", link.title);
    link.hidden = false;
  }
}
