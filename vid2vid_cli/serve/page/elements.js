// Small pieces of the document.

export const $ = (selector, within = document) => within.querySelector(selector);

/** Make an element: properties by name, attributes where the name holds a dash or is `for` or `role`. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "for" || name === "role") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `/static/icons.svg#${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

/** Make a labelled select. choices: pairs of value and name. */
export function selectField(id, name, choices, value, onChange) {
  const options = choices.map(([key, text]) => element("option", { value: key, selected: key === value }, text));
  const select = element("select", { id, onchange: () => onChange(select.value) }, ...options);
  return element("div", { className: "field" }, element("label", { for: id }, name), select);
}

/** Make a labelled slider that shows its value. range: min, max, step, and how a value is written. */
export function slider(id, name, { min, max, step, write = String, hint = "" }, value, onInput) {
  // No <output>: it would be read out beside the slider's own value at each step.
  const shownValue = element("span", { className: "value", "aria-hidden": "true" }, write(value));
  const input = element("input", { type: "range", id, min, max, step, value, title: hint });
  input.setAttribute("aria-valuetext", write(value));
  const show = (shown) => {
    shownValue.textContent = write(shown);
    input.setAttribute("aria-valuetext", write(shown));
    fill(input, min, max, shown);
  };
  fill(input, min, max, value);
  input.addEventListener("input", () => {
    show(input.valueAsNumber);
    onInput(input.valueAsNumber);
  });
  const row = element("div", { className: "slider" }, element("label", { for: id }, name), shownValue, input);
  return row;
}

/** Colour the track between 0 and the value. */
function fill(input, min, max, value) {
  const percent = (number) => `${(100 * (number - min)) / (max - min)}%`;
  input.style.setProperty("--from", percent(Math.min(0, value)));
  input.style.setProperty("--to", percent(Math.max(0, value)));
}
