// Style sheets that a strict Content-Security-Policy allows: constructed ones, where a library would add a <style>.

/** @returns {CSSStyleSheet} an empty sheet that the document uses */
export function adopted() {
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets.push(sheet);
  return sheet;
}

/** @returns {HTMLElement} behaves as a <style>: its text are the rules, and they go when it is removed */
export function styleElement() {
  const element = document.createElement("span");
  const sheet = adopted();
  element.hidden = true;
  Object.defineProperty(element, "textContent", {set: (text) => sheet.replaceSync(text)});
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== sheet);
    Element.prototype.remove.call(element);
  };
  return element;
}
