// Boxes over the picture, one radio button per face: click, or arrow keys.

import { $, element } from "./elements.js";
import { state } from "./state.js";

export function startFaces() {
  state.addEventListener("source", showFaces);
  state.addEventListener("face", markFace);
  state.addEventListener("view", hideWhereElsewhere);
}

function showFaces() {
  const faces = state.source?.faces ?? [];
  const legend = $("legend", $("#faces"));
  $("#faces").replaceChildren(legend, ...(faces.length > 1 ? faces.map(box) : []));
  hideWhereElsewhere();
  markFace();
}

function hideWhereElsewhere() {
  $("#faces").hidden = (state.source?.faces ?? []).length < 2 || state.view !== "still";
}

function box(face) {
  const { width, height } = state.source;
  const change = () => state.change({ face: String(face.index) });
  const label = `Face ${face.index + 1} of ${state.source.faces.length}, from the left`;
  const radio = element("input", {
    type: "radio",
    name: "face",
    value: String(face.index),
    "aria-label": label,
    onchange: change,
  });
  const made = element("label", { className: "face-box" }, radio, element("span", { "data-number": face.index + 1 }));
  const percent = (part, whole) => `${(100 * part) / whole}%`;
  Object.assign(made.style, {
    left: percent(face.x, width),
    top: percent(face.y, height),
    width: percent(face.width, width),
    height: percent(face.height, height),
  });
  return made;
}

function markFace() {
  const faces = state.source?.faces ?? [];
  const area = (face) => face.width * face.height;
  const largest = faces.reduce((best, face) => (best === null || area(face) > area(best) ? face : best), null);
  const chosen = state.face === "largest" ? largest?.index : Number(state.face);
  for (const radio of $("#faces").querySelectorAll("input")) radio.checked = Number(radio.value) === chosen;
}
