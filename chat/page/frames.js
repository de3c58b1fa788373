// Drawing when there is something new, but not more often than it is seen.

/** At most once a frame. @param {() => void} draw @returns {() => void} */
export function oncePerFrame(draw) {
  let isDue = false;
  return () => {
    if (!isDue) {
      isDue = true;
      // A hidden tab draws no frames, but its title and badges must still count.
      const later = document.hidden ? (/** @type {() => void} */ fn) => setTimeout(fn, 50) : requestAnimationFrame;
      later(() => {
        isDue = false;
        draw();
      });
    }
  };
}
