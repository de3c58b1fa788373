// Light or dark: what the system prefers, until one says otherwise here.

const KEY = "hotpath-chat/theme";
const prefersDark = matchMedia("(prefers-color-scheme: dark)");

const isDark = () => (document.documentElement.dataset.theme ?? (prefersDark.matches ? "dark" : "light")) === "dark";

export function applyTheme() {
  const wanted = localStorage.getItem(KEY);
  if (wanted === "light" || wanted === "dark") {
    document.documentElement.dataset.theme = wanted;
  }
}

/** @param {HTMLButtonElement} button */
export function themeButton(button) {
  const name = () => {
    button.setAttribute("aria-label", isDark() ? "Light colours" : "Dark colours");
    button.title = button.getAttribute("aria-label") ?? "";
  };
  button.addEventListener("click", () => {
    const wanted = isDark() ? "light" : "dark";
    localStorage.setItem(KEY, wanted);
    document.documentElement.dataset.theme = wanted;
    name();
  });
  prefersDark.addEventListener("change", name);
  name();
}
