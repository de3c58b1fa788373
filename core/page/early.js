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
