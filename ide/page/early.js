// Before the first paint: the theme that was chosen here. A plain script, since modules come too late.
{
  const wanted = localStorage.getItem("hotpath-ide/theme");
  if (wanted === "light" || wanted === "dark") {
    document.documentElement.dataset.theme = wanted;
  }
}
