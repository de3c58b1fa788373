// The page: watches the group, and draws what it knows.

import {Column} from "./column.js";
import {compare} from "./compare.js";
import {arrange, byId, mark, write} from "./kit/dom.js";
import {wayHome} from "./kit/house.js";
import {themeButton} from "./kit/themebutton.js";
import {Group} from "./group.js";
import {Links, pairs, setCut} from "./links.js";
import {Losses} from "./losses.js";
import {Strip} from "./strip.js";
import {makeTrouble} from "./trouble.js";
import {verdictOn} from "./verdict.js";

const ASK_AGAIN_MS = 1000;
const COLUMN_REM = 20;          // no column is narrower
const HUES = 5;                 // colours in kit/theme.css
const SAMPLE_MS = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1000 : 250;

/** @typedef {import("./replica.js").Replica} Replica */

const group = new Group(new URL(".", document.baseURI).href);
const losses = new Losses(group.replicas);
const links = new Links(byId("links"), (which, cut) => order(which, cut).catch(ignore));
const strip = new Strip(byId("strip"), hue);
/** @type {Map<Replica, Column>} */
const columns = new Map();
let isDrillOff = false;
let isInTrouble = false;
let willRender = false;

/**
 * The number of a replica's colour.
 * @param {string} name @returns {string}
 */
function hue(name) {
  const place = [...group.replicas.keys()].indexOf(name);
  return place < 0 ? "none" : String(place % HUES);
}

async function begin() {
  try {
    await group.begin();
    sample();                       // its place is taken at once, so that nothing moves a moment later
    setInterval(sample, SAMPLE_MS);
  } catch (error) {
    write(byId("verdict"), `This replica ${/** @type {Error} */ (error).message}. Trying again…`);
    mark(byId("verdict"), "data-mood", "unwell");
    setTimeout(begin, ASK_AGAIN_MS);
  }
}

/**
 * Cut or heal, and say it when that cannot be done.
 * @param {[Replica, Replica][]} which @param {boolean} cut
 */
async function order(which, cut) {
  try {
    await setCut(which, cut);
  } catch (error) {
    const failure = /** @type {import("./kit/http.js").Failure} */ (error);
    isDrillOff = failure.status === 404;
    write(byId("story"), isDrillOff ? "" : `That cannot be done: a replica ${failure.message}.`);
    renderSoon();
    throw error;
  }
}

/** @param {boolean} cut */
const orderAll = (cut) => order(pairs(group.all), cut);

/** For what `order` has said already. */
function ignore() {}

/**
 * The keys that are shown, in the same order everywhere, so that a key is one line across the columns.
 * @returns {string[]}
 */
function rows() {
  const wanted = new Set();
  const withRemoved = byId("show-removed").checked;
  for (const {name, cells} of group.all) {
    for (const [key, {live}] of cells) {
      if (live || withRemoved) {
        wanted.add(key);
      }
    }
    for (const key of losses.keys(name)) {
      wanted.add(key);
    }
  }
  return [...wanted].sort();
}

function renderSoon() {
  if (!willRender) {
    willRender = true;
    requestAnimationFrame(() => {
      willRender = false;
      render();
    });
  }
}

function render() {
  const replicas = group.all;
  const comparison = compare(replicas.filter(({isKnown}) => isKnown));
  const {text, mood} = verdictOn(replicas, comparison);
  write(byId("verdict"), text);
  mark(byId("verdict"), "data-mood", mood);

  const hasLinks = replicas.length > 1;
  const canCut = hasLinks && !isDrillOff && !isInTrouble;
  byId("no-drill").hidden = !isDrillOff;
  for (const id of ["trouble", "cut-all", "heal-all"]) {
    byId(id).disabled = !canCut;
  }
  const isAligned = hasLinks && matchMedia(`(min-width: ${COLUMN_REM * replicas.length}rem)`).matches;
  mark(document.body, "data-aligned", isAligned ? "" : null);
  links.show(replicas, {canCut, isOverColumns: isAligned});

  const keys = rows();
  const place = byId("columns");
  place.style.setProperty("--n", String(replicas.length));
  place.style.setProperty("--rows", String(Math.max(1, keys.length)));
  mark(place, "aria-busy", String(replicas.some(({state}) => state === "loading")));
  arrange(place, replicas.map((replica) => {
    const column = columnOf(replica);
    column.show({keys, comparison, losses, hue, canCut});
    return column.root;
  }));
}

/** @param {Replica} replica @returns {Column} */
function columnOf(replica) {
  const known = columns.get(replica);
  if (known) {
    return known;
  }
  const column = new Column(replica, replica.name === group.self, (one, cut) =>
    order(pairs(group.all).filter((pair) => pair.includes(one)), cut).catch(ignore));
  columns.set(replica, column);
  return column;
}

/** Once a moment: one more step of the strip, and what was shown long enough goes. */
function sample() {
  if (document.hidden) {
    return;
  }
  if (losses.expire()) {
    renderSoon();
  }
  const {behind} = compare(group.all.filter(({isKnown}) => isKnown));
  strip.add(new Map(group.all.map(({name}) => [name, behind.get(name) ?? null])));
}

async function trouble() {
  isInTrouble = true;
  renderSoon();
  const say = (/** @type {string} */ text) => write(byId("story"), text);
  try {
    await makeTrouble(group.all, {cut: () => orderAll(true), heal: () => orderAll(false), say});
  } catch (error) {
    if (!isDrillOff) {
      say(`That went wrong: a replica ${/** @type {Error} */ (error).message}.`);
    }
  }
  isInTrouble = false;
  renderSoon();
}

wayHome(byId("up"));
themeButton(byId("theme"));
group.onArrival = losses.arrived.bind(losses);
group.addEventListener("change", renderSoon);
group.followVisibility();
byId("cut-all").addEventListener("click", () => orderAll(true).catch(ignore));
byId("heal-all").addEventListener("click", () => orderAll(false).catch(ignore));
byId("trouble").addEventListener("click", trouble);
byId("show-removed").addEventListener("change", (/** @type {Event} */ event) => {
  if (/** @type {HTMLInputElement} */ (event.target).checked) {
    group.showRemoved();
  }
  renderSoon();
});
window.addEventListener("resize", renderSoon);
begin();
