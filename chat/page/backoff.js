// How long to wait before the next try: full jitter, so that thousands who lost the same server do not come back as one.
// Brooker, "Exponential Backoff And Jitter", AWS 2015.

export class Backoff {
  /** @param {number} baseMs @param {number} capMs @param {() => number} random in [0, 1) */
  constructor(baseMs, capMs, random = Math.random) {
    this.baseMs = baseMs;
    this.capMs = capMs;
    this.random = random;
    this.attempt = 0;
  }

  /** @returns {number} ms, uniform in [0, min(cap, base * 2**attempt)] */
  next() {
    this.attempt++;
    return this.random() * Math.min(this.capMs, this.baseMs * 2 ** this.attempt);
  }

  reset() {
    this.attempt = 0;
  }
}
