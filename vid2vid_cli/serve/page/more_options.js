// All other options of the command, made from the server's list: names, types and help are those of the command line.

import { $, element } from "./elements.js";
import { commandFor } from "./request.js";
import { state } from "./state.js";

/** Options that stand elsewhere on the page, or that a page has no use for. */
const ELSEWHERE = new Set(["yaw", "pitch", "roll", "strength", "expression", "gaze", "background", "relative", "face"]);

export function startMoreOptions() {
  for (const name of ["info", "driving", "follow", "reset"]) state.addEventListener(name, build);
}

let built = "";

function build() {
  if (!state.info) return;
  const command = commandFor(state);
  const chosen = JSON.stringify([command, state.settings.more[command] ?? {}]);
  if (chosen === built) return; // nothing new: whoever is typing keeps the focus
  built = chosen;
  const panels = new Map();
  for (const option of state.info.commands[command].options) {
    if (ELSEWHERE.has(option.name)) continue;
    const panel = option.panel || "Other";
    panels.set(panel, [...(panels.get(panel) ?? []), field(command, option)]);
  }
  const parts = [...panels].map(([panel, fields]) =>
    element("div", { role: "group", "aria-label": panel }, element("p", { className: "panel-name" }, panel), ...fields),
  );
  $("#more-options").replaceChildren(...parts);
}

function change(command, option, value) {
  const { more } = state.settings;
  const own = { ...more[command], [option.name]: value };
  if (value === null || value === option.default) delete own[option.name];
  built = JSON.stringify([command, own]);
  state.set({ more: { ...more, [command]: own } });
}

function field(command, option) {
  const id = `option-${option.name}`;
  const value = state.settings.more[command]?.[option.name] ?? option.default;
  const hint = element("p", { className: "hint", id: `${id}-help` }, option.help ?? "");
  const set = (given) => change(command, option, given);
  const isSwitch = option.type === "boolean" && option.default !== null;
  if (isSwitch) {
    const box = element("input", {
      type: "checkbox",
      id,
      checked: value,
      "aria-describedby": hint.id,
      onchange: () => set(box.checked),
    });
    return element(
      "div",
      { className: "field" },
      element("label", { className: "check" }, box, readable(option)),
      hint,
    );
  }
  const made = control(id, option, value, set);
  made.setAttribute("aria-describedby", hint.id);
  return element("div", { className: "field" }, element("label", { for: id }, readable(option)), made, hint);
}

/** Write "on_missing" as "On missing". */
function readable({ name }) {
  const words = name.replaceAll("_", " ");
  return words[0].toUpperCase() + words.slice(1);
}

function control(id, option, value, set) {
  const choices = option.choices ?? (option.type === "boolean" ? [true, false] : null);
  if (choices) return select(id, option, choices, value, set);
  const isNumber = ["integer", "number"].includes(option.type);
  const input = element("input", {
    type: isNumber ? "number" : "text",
    id,
    value: value ?? "",
    placeholder: option.default ?? "default",
  });
  if (isNumber) input.step = option.type === "integer" ? 1 : "any";
  input.addEventListener("change", () => set(input.value === "" ? null : isNumber ? input.valueAsNumber : input.value));
  return input;
}

function select(id, option, choices, value, set) {
  const name = (choice) => ({ true: "on", false: "off" })[choice] ?? choice;
  const options = choices.map((choice) =>
    element("option", { value: String(choice), selected: choice === value }, name(choice)),
  );
  if (option.default === null) options.unshift(element("option", { value: "", selected: value === null }, "default"));
  const made = element("select", { id }, ...options);
  made.addEventListener("change", () => set(choices.find((choice) => String(choice) === made.value) ?? null));
  return made;
}
