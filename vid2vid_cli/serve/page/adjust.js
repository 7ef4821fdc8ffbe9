// What is adjusted: head pose, strength, gaze, background, format. The still follows at once; a job takes the same.

import { uploadFile } from "./api.js";
import { $, element, selectField, slider } from "./elements.js";
import { guarded } from "./messages.js";
import { commandFor, formatsFor } from "./request.js";
import { defaults, state } from "./state.js";

const degrees = (value) => `${value > 0 ? "+" : ""}${value}°`;
const times = (value) => `${value.toFixed(2)} ×`;
const POSE = [
  ["yaw", "Yaw", "Turn the face to the right of the picture"],
  ["pitch", "Pitch", "Lift the chin"],
  ["roll", "Roll", "Tilt the head clockwise"],
];
const ANGLE = { min: -45, max: 45, step: 1, write: degrees };
const LOOK = { min: -30, max: 30, step: 1, write: degrees };
const NAMES = { rotate: "Turn the head", reenact: "Make it move", speak: "Make it speak" };
const BACKGROUNDS = [
  ["keep", "As in the portrait"],
  ["follow", "Moves along"],
  ["blur", "Blurred"],
  ["transparent", "Transparent"],
  ["colour", "One colour"],
  ["file", "Another picture"],
];

export function startAdjust() {
  for (const name of ["info", "driving", "follow"]) state.addEventListener(name, build);
  for (const name of ["source", "driving", "follow", "info"]) state.addEventListener(name, showGo);
  state.addEventListener("source", () => state.info && buildChoices());
  state.addEventListener("face", () => {
    // chosen by a box over the picture
    if ($("#face")) $("#face").value = state.face;
  });
  $("#reset").addEventListener("click", () => {
    state.change({ settings: defaults() });
    state.dispatchEvent(new Event("reset"));
    build();
  });
  for (const radio of document.querySelectorAll("input[name=follow]"))
    radio.addEventListener("change", () => state.change({ follow: radio.value }));
}

/** Say whether the command that is chosen has an option. */
export function hasOption(name) {
  return state.info.commands[commandFor(state)].options.some((option) => option.name === name);
}

function build() {
  if (!state.info) return;
  const isClip = state.driving?.kind === "video";
  $("#follow").hidden = !isClip;
  for (const radio of document.querySelectorAll("input[name=follow]")) radio.checked = radio.value === state.follow;
  buildSliders();
  buildGaze();
  buildChoices();
}

function buildSliders() {
  const { settings, info } = state;
  const rows = [];
  for (const [name, label, hint] of info.has_head_pose ? POSE : []) {
    rows.push(slider(name, label, { ...ANGLE, hint }, settings[name], (value) => state.set({ [name]: value })));
  }
  const strength = { min: 0, max: 2, step: 0.05, write: times, hint: "0: no motion, 1: as driven, 2: twice as much" };
  rows.push(
    slider("strength", "Strength of the motion", strength, settings.strength, (value) =>
      state.set({ strength: value }),
    ),
  );
  $("#sliders").replaceChildren(...rows);
}

function buildGaze() {
  const { settings, info } = state;
  if (!info.has_gaze) return $("#gaze").replaceChildren();
  const choices = [
    ["", "As in the motion"],
    ["camera", "Into the camera"],
    ["source", "As in the portrait"],
    ["direction", "In a direction"],
  ];
  const chosen = selectField("gaze-where", "Eyes look", choices, settings.gaze, (gaze) => {
    state.set({ gaze });
    buildGaze();
    $("#gaze-where").focus();
  });
  const look = (id, label, name) => slider(id, label, LOOK, settings[name], (value) => state.set({ [name]: value }));
  const direction =
    settings.gaze === "direction"
      ? [look("gaze-right", "Eyes right", "gazeRight"), look("gaze-up", "Eyes up", "gazeUp")]
      : [];
  return $("#gaze").replaceChildren(chosen, ...direction);
}

function buildChoices() {
  const { settings } = state;
  const command = commandFor(state);
  const fields = [backgroundField()];
  if (hasOption("relative"))
    fields.push(
      selectField(
        "relative",
        "Motion",
        [
          ["yes", "Relative to the portrait"],
          ["no", "Absolute, as filmed"],
        ],
        settings.relative ? "yes" : "no",
        (value) => state.set({ relative: value === "yes" }),
      ),
    );
  if ((state.source?.faces ?? []).length > 1 && hasOption("face")) fields.push(faceField());
  if (command === "rotate") fields.push(sweepField());
  const formats = formatsFor(state);
  const chosen = formats.includes(settings.format) ? settings.format : formats[0];
  fields.push(
    selectField(
      "format",
      "Format",
      formats.map((name) => [name, name.toUpperCase()]),
      chosen,
      (format) => state.set({ format }),
    ),
  );
  $("#choices").replaceChildren(...fields);
}

function backgroundField() {
  const { settings } = state;
  const field = selectField("background", "Background", BACKGROUNDS, settings.background, (background) => {
    state.set({ background });
    buildChoices();
    $("#background").focus();
  });
  if (settings.background === "colour") {
    field.append(
      element("input", {
        type: "color",
        value: settings.colour,
        "aria-label": "Colour of the background",
        oninput: (event) => state.set({ colour: event.target.value }),
      }),
    );
  }
  if (settings.background === "file") {
    field.append(
      element("input", {
        type: "file",
        accept: "image/*",
        "aria-label": "Picture behind the person",
        onchange: takeBackground,
      }),
    );
    if (settings.backgroundName) field.append(element("p", { className: "hint" }, settings.backgroundName));
  }
  return field;
}

const takeBackground = guarded(async (event) => {
  const [blob] = event.target.files;
  if (!blob) return;
  const file = await uploadFile(blob, blob.name, () => {});
  state.set({ backgroundFile: file.id, backgroundName: file.name });
  buildChoices();
});

function faceField() {
  const faces = state.source.faces.map((face) => [String(face.index), `Face ${face.index + 1} from the left`]);
  return selectField(
    "face",
    "Who moves",
    [["largest", "The largest face"], ...faces, ["all", "All of them"]],
    state.face,
    (face) => state.change({ face }),
  );
}

function sweepField() {
  const change = (event) => {
    state.set({ sweep: event.target.checked });
    buildChoices();
    $("#sweep").focus();
  };
  const box = element("input", { type: "checkbox", id: "sweep", checked: state.settings.sweep, onchange: change });
  return element("label", { className: "check" }, box, "Film it turning from side to side");
}

function showGo() {
  const go = $("#go");
  go.textContent = NAMES[state.info ? commandFor(state) : "rotate"];
  go.disabled = !state.source || !state.info;
  $("#go-hint").textContent = state.source ? "" : "Choose a portrait first.";
}
