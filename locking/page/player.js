// The replay: how many steps are shown, and whether the next one comes by itself.

export class Player extends EventTarget {
  count = 0;
  place = 0;                  // steps shown: 0 none, `count` all of them and the verdict
  isPlaying = false;
  hasMoved = false;           // since it was loaded
  paceMs = 800;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {number} count of steps @param {{plays: boolean}} how  what is not played is shown at once */
  load(count, {plays}) {
    this.count = count;
    this.place = plays ? 0 : count;
    this.isPlaying = plays && count > 0;
    this.hasMoved = false;
    this.#go();
    this.hasMoved = true;
  }

  /** Show `place` steps, and pause. @param {number} place */
  seek(place) {
    this.place = Math.min(this.count, Math.max(0, place));
    this.isPlaying = false;
    this.#go();
  }

  /** Play, from the start when it is at the end; or pause. */
  toggle() {
    this.isPlaying = !this.isPlaying && this.count > 0;
    if (this.isPlaying && this.place === this.count) {
      this.place = 0;
    }
    this.#go();
  }

  #go() {
    clearTimeout(this.#timer);
    if (this.isPlaying) {
      this.#timer = setTimeout(() => {
        this.place += 1;
        this.isPlaying = this.place < this.count;
        this.#go();
      }, this.paceMs);
    }
    this.dispatchEvent(new Event("change"));
  }
}
