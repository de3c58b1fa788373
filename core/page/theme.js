// Light or dark: what the system prefers, until one says otherwise here.

const KEY = "hotpath/theme";
const prefersDark = matchMedia("(prefers-color-scheme: dark)");

const isDark = () => (document.documentElement.dataset.theme ?? (prefersDark.matches ? "dark" : "light")) === "dark";

/** A browser may forbid a page to remember; then a choice lasts as long as the page. @returns {string | null} */
function remembered() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

/** @param {string} theme */
function remember(theme) {
  try {
    localStorage.setItem(KEY, theme);
  } catch { /* as above */ }
}

export function applyTheme() {
  const wanted = remembered();
  if (wanted === "light" || wanted === "dark") {
    document.documentElement.dataset.theme = wanted;
  }
}

/** @param {HTMLButtonElement} button which says what it changes to */
export function themeButton(button) {
  const name = () => {
    button.textContent = isDark() ? "Light colours" : "Dark colours";
  };
  button.addEventListener("click", () => {
    const wanted = isDark() ? "light" : "dark";
    remember(wanted);
    document.documentElement.dataset.theme = wanted;
    name();
  });
  prefersDark.addEventListener("change", name);
  name();
}
