// Before the page's modules, as a plain script: the theme that was chosen here, in time for the first paint; and another try
// where a file of the page did not come. Browsers drop what is under way when the machine's network changes, as it does
// whenever a container starts.
{
  let wanted = null;
  try {
    wanted = localStorage.getItem("hotpath/theme");
  } catch { /* a browser may forbid a page to remember */ }
  if (wanted === "light" || wanted === "dark") {
    document.documentElement.dataset.theme = wanted;
  }
}
{
  const KEY = "hotpath/tries";
  const FIRST_PAUSE_MS = 500;
  const LONGEST_PAUSE_MS = 30_000;
  const pauseMs = (/** @type {number} */ tries) => Math.min(FIRST_PAUSE_MS * 2 ** tries, LONGEST_PAUSE_MS);

  let isWhole = true;
  addEventListener("error", ({target}) => {
    if (target instanceof HTMLLinkElement && target.rel === "stylesheet") {
      const tries = Number(target.dataset.tries ?? 0);
      const another = /** @type {HTMLLinkElement} */ (target.cloneNode());
      another.dataset.tries = String(tries + 1);
      setTimeout(() => target.replaceWith(another), pauseMs(tries));
    } else if (target instanceof HTMLScriptElement && isWhole && document.readyState !== "complete") {
      // A module that failed is never asked for again by the same document; nobody can have used this one.
      isWhole = false;
      try {
        const tries = Number(sessionStorage.getItem(KEY));
        sessionStorage.setItem(KEY, String(tries + 1));
        setTimeout(() => location.reload(), pauseMs(tries));
      } catch { /* whoever may not count does not try for ever */ }
    }
  }, true);
  addEventListener("load", () => {
    try {
      if (isWhole) {
        sessionStorage.removeItem(KEY);
      }
    } catch { /* as above */ }
  });
  addEventListener("click", (event) => {
    if (event.target instanceof Element && event.target.matches(".again")) {
      event.preventDefault();     // the link alone would lose what stands behind # in the address
      location.reload();
    }
  });
}
