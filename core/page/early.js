// Before the first paint: the theme that was chosen here. A plain script, since modules come too late.
{
  let wanted = null;
  try {
    wanted = localStorage.getItem("hotpath/theme");
  } catch { /* a browser may forbid a page to remember */ }
  if (wanted === "light" || wanted === "dark") {
    document.documentElement.dataset.theme = wanted;
  }
}

// Browsers drop what is under way when the network changes, as with each container that starts; and never ask for a module again.
addEventListener("error", ({target}) => setTimeout(() => {
  if (target instanceof HTMLScriptElement) {
    location.reload();
  } else if (target instanceof HTMLLinkElement) {
    target.replaceWith(target.cloneNode());
  }
}, 1000), true);
