// Which replicas are there? Our own, and the members it names; each is watched for as long as it is one of them.

import {Api} from "./api.js";
import {Replica} from "./replica.js";

/** @typedef {import("./replica.js").Member} Member */
/** @typedef {import("./listing.js").Cell} Cell */

/** Tells `change` when there is anything new about any of them. */
export class Group extends EventTarget {
  /** @param {string} base the address of our own replica; it ends in a slash */
  constructor(base) {
    super();
    this.base = base;
    this.self = "";
    /** @type {Map<string, Replica>} in order of their names */
    this.replicas = new Map();
    /** @type {(name: string, before: Cell | undefined, after: Cell) => void} asked before a cell changes */
    this.onArrival = () => {};
    this.wantsRemoved = false;
  }

  /** Ask our own replica who is there; from then on its own polls tell. */
  async begin() {
    const {self, members} = await new Api(this.base).get("members");
    this.self = self;
    this.follow(members);
  }

  /** @returns {Replica[]} */
  get all() {
    return [...this.replicas.values()];
  }

  /** @param {Iterable<Member>} members */
  follow(members) {
    const bases = new Map([...members].map((member) => [member.name, this.addressOf(member)]));
    bases.set(this.self, this.base);
    for (const [name, replica] of this.replicas) {
      if (bases.get(name) !== replica.api.base) {
        replica.stop();
        this.replicas.delete(name);
      }
    }
    const known = new Map(this.replicas);
    this.replicas.clear();
    for (const name of [...bases.keys()].sort()) {
      this.replicas.set(name, known.get(name) ?? this.watched(name, /** @type {string} */ (bases.get(name))));
    }
    this.dispatchEvent(new Event("change"));
  }

  /** @param {Member} member @returns {string} */
  addressOf({public: shown, url}) {
    const address = shown ?? url;
    return new URL(address.endsWith("/") ? address : `${address}/`, this.base).href;
  }

  /** @param {string} name @param {string} base @returns {Replica} */
  watched(name, base) {
    const replica = new Replica(name, new Api(base));
    replica.wantsRemoved = this.wantsRemoved;
    replica.onArrival = (before, after) => this.onArrival(name, before, after);
    replica.addEventListener("change", () => {
      if (name === this.self && this.replicas.get(name) === replica) {
        this.follow(replica.members.values());
      } else {
        this.dispatchEvent(new Event("change"));
      }
    });
    if (!document.hidden) {
      replica.start();
    }
    return replica;
  }

  /** A hidden page holds no streams: a browser keeps few connections to one host, and other pages need them. */
  followVisibility() {
    document.addEventListener("visibilitychange", () =>
      this.all.forEach((replica) => document.hidden ? replica.stop() : replica.start()));
  }

  /** Removed keys are wanted from now on, however many there are. */
  showRemoved() {
    this.wantsRemoved = true;
    this.all.forEach((replica) => replica.showRemoved());
  }
}
