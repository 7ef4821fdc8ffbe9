// Runs before the first paint, so that a page in dark colours never flashes white. Not a module: those run later.
"use strict";
(() => {
  const ORDER = ["auto", "light", "dark"];
  const NAMES = { auto: "as the system", light: "light", dark: "dark" };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let choice = ORDER.includes(localStorage.getItem("vid2vid-theme")) ? localStorage.getItem("vid2vid-theme") : "auto";

  function apply() {
    const shown = choice === "auto" ? (dark.matches ? "dark" : "light") : choice;
    document.documentElement.dataset.theme = shown;
    const button = document.getElementById("theme");
    if (!button) return;
    button.setAttribute("aria-label", `Colours: ${NAMES[choice]}`);
    button.title = `Colours: ${NAMES[choice]}`;
    button.querySelector("use").setAttribute("href", `/static/icons.svg#${choice}`);
  }

  apply();
  dark.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("theme").addEventListener("click", () => {
      choice = ORDER[(ORDER.indexOf(choice) + 1) % ORDER.length];
      localStorage.setItem("vid2vid-theme", choice);
      apply();
    });
  });
})();
