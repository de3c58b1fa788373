// The landing page: asks the house how everything is, for as long as somebody looks.

import {arrange, byId, mark, write} from "./kit/dom.js";
import {weAreHome} from "./kit/house.js";
import {ask, jsonOf} from "./kit/http.js";
import {themeButton} from "./kit/themebutton.js";
import {Card} from "./card.js";
import {ageOf, clock, lostSentence, verdictOn} from "./words.js";

/** @typedef {import("./words.js").Status} Status */

const PATIENCE_MS = 5000;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 5000;
// So many checks late, the house is stuck: its own pause, and what a busy machine adds, are well below.
const CHECKS_LATE = 10;

/** @type {Map<string, Card>} */
const cards = new Map();
let pauseMs = FIRST_PAUSE_MS;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
let isAsking = false;
/** When we last heard how it is, as Date.now(). @type {number | null} */
let heardAt = null;

/** @param {string} mood @param {string} text what is also said, when it is other than before */
function say(mood, text) {
  mark(byId("verdict"), "data-mood", mood);
  write(byId("verdict"), text);
  write(byId("said"), text);
}

/** @param {Status} status @param {number | null} ageS */
function show(status, ageS) {
  const isStale = ageS !== null && ageS > CHECKS_LATE * status.check_every_s;
  if (isStale) {
    say("unwell", "The house is stuck: its last look at the systems is old.");
    write(byId("when"), `What you see is how it was ${Math.round(ageS)} s ago.`);
  } else {
    const {mood, text} = verdictOn(status.parts);
    say(mood, text);
    write(byId("when"), `Checked every ${status.check_every_s} s`);
  }
  mark(byId("main"), "data-stale", isStale ? "" : null);
  mark(byId("main"), "aria-busy", "false");
  write(byId("version"), status.version ? `hotpath ${status.version}` : "");
  const unwell = status.parts.filter(({well}) => !well).length;
  document.title = unwell === 0 ? "hotpath" : `(${unwell}) hotpath`;
  arrange(byId("parts"), status.parts.map((part, place) => {
    const card = cards.get(part.name) ?? new Card(part.name, place);
    cards.set(part.name, card);
    card.show(part);
    return card.root;
  }));
}

/** @param {import("./kit/http.js").Failure} failure */
function lose(failure) {
  say("unwell", lostSentence(failure));
  mark(byId("main"), "data-stale", "");
  mark(byId("main"), "aria-busy", "false");
  document.title = "(!) hotpath";
  write(byId("when"), heardAt === null ? "" : `What you see is how it was at ${clock(heardAt)}.`);
}

/** Ask; each answer says when to ask again, each silence is followed by a longer pause. */
async function look() {
  clearTimeout(timer);
  if (isAsking || document.hidden) {
    return;
  }
  isAsking = true;
  try {
    const response = await ask("status.json", {patienceMs: PATIENCE_MS});
    const status = /** @type {Status} */ (await jsonOf(response));
    show(status, ageOf(response.headers));
    heardAt = Date.now();
    pauseMs = FIRST_PAUSE_MS;
    timer = setTimeout(look, 1000 * status.check_every_s);
  } catch (error) {
    lose(/** @type {import("./kit/http.js").Failure} */ (error));
    timer = setTimeout(look, pauseMs);
    pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
  } finally {
    isAsking = false;
  }
}

weAreHome();
themeButton(byId("theme"));
document.addEventListener("visibilitychange", look);
window.addEventListener("online", look);
look();
