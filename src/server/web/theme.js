// Runs before the page is drawn, so that it appears in its colours at once. "auto" follows the system.
"use strict";

{
  let theme = null;
  try {
    theme = localStorage.getItem("isotope-theme");
  } catch {
    // Without storage the system decides.
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
}
