// The ring: the router's own picture of it, drawn anew in the page's colours.

import {ask} from "./api.js";
import {arrange, byId, mark, write} from "./kit/dom.js";
import {drawn} from "./kit/svg.js";
import {counted, percent} from "./format.js";

const SIZE = 320;

export class Ring {
  constructor() {
    this.place = byId("ring");
    this.svg = drawn("svg", {viewBox: `0 0 ${SIZE} ${SIZE}`, role: "img", "aria-labelledby": "ring-caption"});
    this.name = drawn("text", {x: SIZE / 2, y: SIZE / 2, "text-anchor": "middle"});
    this.state = drawn("text", {class: "soft", x: SIZE / 2, y: SIZE / 2 + 22, "text-anchor": "middle"});
    this.place.append(this.svg);
    this.version = -1;
    this.isAsking = false;
    /** @type {{shard: string, path: Element}[]} */
    this.paths = [];
  }

  /** @param {any} cluster @param {(name: string) => string} hue */
  show(cluster, hue) {
    write(this.name, cluster.cluster);
    write(this.state, cluster.state);
    const shares = cluster.shards.map((/** @type {any} */ {name, share}) => `${name} ${percent(share)}`).join(", ");
    write(byId("ring-caption"), `65\u202f536 slots on ${counted(cluster.shards.length, "shard")}: ${shares}`);
    for (const {shard, path} of this.paths) {
      mark(path, "data-hue", hue(shard));
    }
    if (cluster.version > this.version && !this.isAsking) {
      this.ask(hue);
    }
  }

  /** @param {(name: string) => string} hue */
  async ask(hue) {
    this.isAsking = true;
    try {
      const text = await (await ask("v1/cluster/ring.svg")).text();
      // Its own colours would be inline style here, which the page's policy does not let in.
      const picture = new DOMParser().parseFromString(text.replace(/<style>.*?<\/style>/s, ""), "image/svg+xml");
      // Only numbers are taken over: where an arc runs, how wide it is, whose it is.
      this.paths = [...picture.querySelectorAll("path[data-shard]")].map((arc) => {
        const shard = arc.getAttribute("data-shard") ?? "";
        return {shard, path: drawn("path", {
          d: arc.getAttribute("d") ?? "", "stroke-width": arc.getAttribute("stroke-width") ?? "1",
          "data-hue": hue(shard), "data-ring": arc.getAttribute("data-ring") ?? "",
        })};
      });
      arrange(this.svg, [...this.paths.map(({path}) => path), this.name, this.state]);
      // Of whichever worker answered: one that has an older map than the stream's is asked again.
      this.version = Number(picture.documentElement.getAttribute("data-version"));
    } catch {
      // The stream says what is wrong; with its next event it is tried again.
    } finally {
      this.isAsking = false;
    }
  }

  /** Let one shard stand out. @param {string | null} name */
  point(name) {
    for (const {shard, path} of this.paths) {
      mark(path, "data-dim", name === null || shard === name ? null : "");
    }
  }
}
