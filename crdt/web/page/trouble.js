// A partition in one button: cut all, write one key differently at each, look, heal, see who won.

import {writerOf} from "./stamp.js";
import {listed} from "./verdict.js";

const KEY = "drink";
const DRINKS = ["tea", "coffee", "water", "juice", "milk"];
const LOOK_MS = 4000;
const AGREE_WITHIN_MS = 20_000;
const LOOK_AGAIN_MS = 50;

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** @template T @param {T[]} things @returns {T[]} in random order */
const shuffled = (things) => things.map((thing) => ({thing, place: Math.random()}))
  .sort((one, other) => one.place - other.place).map(({thing}) => thing);

/**
 * @param {import("./replica.js").Replica[]} replicas
 * @param {{cut: () => Promise<void>, heal: () => Promise<void>, say: (text: string) => void}} hands
 */
export async function makeTrouble(replicas, {cut, heal, say}) {
  const names = listed(replicas.map(({name}) => name));
  say("1. Cutting every link.");
  await cut();
  try {
    say(`2. Writing “${KEY}” at ${names}, each something else. Nobody can tell the others.`);
    let last = "";
    // The order is drawn by lot: the last one has the latest stamp, and wins.
    for (const replica of shuffled(replicas)) {
      const stamp = await replica.api.write("put", KEY, DRINKS[replicas.indexOf(replica) % DRINKS.length]);
      last = stamp > last ? stamp : last;
    }
    await pause(LOOK_MS);
    say("3. Healing every link.");
    await heal();
    const agree = await within(() => replicas.every(({cells}) => (cells.get(KEY)?.stamp ?? "") >= last));
    say(agree
      ? `4. All hold what ${writerOf(last)} wrote: its stamp is the latest. The writes that lost stay struck through for a while.`
      : "4. They do not agree yet. Look at the links: something else keeps them apart.");
  } catch (error) {
    say("That went wrong; healing every link.");
    await heal();
    throw error;
  }
}

/** @param {() => boolean} check @returns {Promise<boolean>} whether it came true in time */
async function within(check) {
  const deadline_ms = Date.now() + AGREE_WITHIN_MS;
  while (!check()) {
    if (Date.now() > deadline_ms) {
      return false;
    }
    await pause(LOOK_AGAIN_MS);
  }
  return true;
}
