// The token that a server may ask for: kept for this tab, asked for when an answer says that it is missing or wrong.

const KEY = "hotpath-token";
export const REFUSED = "hotpath-refused";       // an event of the window: some request was refused for want of it

/** A browser may forbid a page to remember; then there is no token. @returns {string} */
export function token() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

/**
 * Show the form when a request was refused, and begin anew with what is typed into it.
 * @param {HTMLFormElement} form with a field named `token`
 */
export function openDoor(form) {
  window.addEventListener(REFUSED, () => {
    if (form.hidden) {
      form.hidden = false;
      form.token.focus();
    }
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(KEY, form.token.value.trim());
    location.reload();
  });
}
