// Which of the stage's views is shown: the still, the live picture, or the result of a job.

import { $ } from "./elements.js";
import { state } from "./state.js";

const VIEWS = ["still", "live", "result"];

export function startStage() {
  for (const button of document.querySelectorAll("#views button"))
    button.addEventListener("click", () => state.change({ view: button.dataset.view }));
  for (const name of ["view", "source", "job"]) state.addEventListener(name, show);
  show();
}

function isPossible(view) {
  if (view === "result") return state.job !== null;
  return view === "still" || state.canBeLive;
}

function show() {
  if (!isPossible(state.view)) return state.change({ view: "still" });
  for (const button of document.querySelectorAll("#views button")) {
    button.disabled = !isPossible(button.dataset.view);
    button.setAttribute("aria-pressed", String(button.dataset.view === state.view));
  }
  const isFilm = state.source !== null && !state.canBeLive;
  $("#still-hint").textContent = isFilm
    ? "A film moves in a job: choose a motion, or move the sliders and press the button."
    : "The sliders act on the picture at once.";
  const isResult = state.view === "result";
  $("#empty").hidden = isResult || state.source !== null;
  $("#fit").hidden = isResult || state.source === null;
  $("#compare").hidden = !isResult;
  for (const view of VIEWS) $(`#bar-${view}`).hidden = view !== state.view;
  return undefined;
}
