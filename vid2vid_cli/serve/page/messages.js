// Errors are seen and read out at once; what goes well is read out when there is time.

import { $, element, icon } from "./elements.js";

/** Show one line until it is dismissed or something succeeds. */
export function showError(error) {
  const close = element(
    "button",
    { type: "button", className: "icon-only", "aria-label": "Dismiss", onclick: clearError },
    icon("close"),
  );
  $("#error").replaceChildren(element("p", {}, error.message ?? String(error)), close);
}

export function clearError() {
  $("#error").replaceChildren();
}

/** Say a line to who listens to the page. */
export function announce(line) {
  const status = $("#status");
  if (status.textContent !== line) status.textContent = line;
}

/** Wrap an event handler: what it throws is shown. */
export const guarded =
  (work) =>
  async (...given) => {
    try {
      await work(...given);
    } catch (error) {
      showError(error);
    }
  };

export function seconds(value) {
  const whole = Math.round(value);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
