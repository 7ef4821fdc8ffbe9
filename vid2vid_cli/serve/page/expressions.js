// Sliders of expressions. A pair such as mouthSmile_L and mouthSmile_R is one slider that moves both sides.

import { $, element, icon, slider } from "./elements.js";
import { state } from "./state.js";

const FIRST = ["jawOpen", "mouthSmile", "eyeBlink", "browInnerUp"]; // what people look for
const percent = (value) => `${Math.round(100 * value)} %`;

export function startExpressions() {
  state.addEventListener("info", build);
  state.addEventListener("reset", build);
}

/** Group names by what is before _L and _R: Map of "mouthSmile" to its members. */
function pairs() {
  const grouped = new Map();
  for (const { name, help } of state.info.expressions) {
    const stem = name.replace(/_[LR]$/, "");
    const group = grouped.get(stem) ?? {
      names: [],
      help: (help ?? "").replace(/,? on the person's (left|right)$/, ""),
    };
    group.names.push(name);
    grouped.set(stem, group);
  }
  return grouped;
}

/** Write "mouthSmile" as "Mouth smile". */
function readable(stem) {
  const words = stem.replace(/([A-Z])/g, " $1").toLowerCase();
  return words[0].toUpperCase() + words.slice(1);
}

function build() {
  const grouped = pairs();
  $("#expressions").hidden = grouped.size === 0;
  const shown = [...FIRST, ...state.settings.shown].filter((stem) => grouped.has(stem));
  $("#expression-sliders").replaceChildren(...shown.map((stem) => row(stem, grouped.get(stem))));
  const others = [...grouped].filter(([stem]) => !shown.includes(stem));
  const options = others.map(([stem, { help }]) =>
    element("option", { value: stem }, help ? `${readable(stem)}: ${help}` : readable(stem)),
  );
  const select = $("#expression-add");
  select.replaceChildren(element("option", { value: "" }, "Choose…"), ...options);
  select.onchange = () => {
    const stem = select.value;
    state.set({ shown: [...state.settings.shown, stem] });
    build();
    $(`#expression-${stem}`).focus();
  };
}

function row(stem, { names, help }) {
  const weight = state.settings.expressions[names[0]] ?? 0;
  const change = (value) => {
    const moved = Object.fromEntries(names.map((name) => [name, value]));
    state.set({ expressions: { ...state.settings.expressions, ...moved } });
  };
  const range = { min: 0, max: 1, step: 0.05, write: percent, hint: help };
  const made = slider(`expression-${stem}`, readable(stem), range, weight, change);
  if (FIRST.includes(stem)) return made;
  return element("div", { className: "removable" }, made, removeButton(stem, names));
}

function removeButton(stem, names) {
  const remove = () => {
    const { expressions, shown } = state.settings;
    const kept = Object.entries(expressions).filter(([name]) => !names.includes(name));
    state.set({ expressions: Object.fromEntries(kept), shown: shown.filter((other) => other !== stem) });
    build();
    $("#expression-add").focus();
  };
  return element(
    "button",
    { type: "button", className: "quiet icon-only", "aria-label": `Remove ${readable(stem)}`, onclick: remove },
    icon("close"),
  );
}
