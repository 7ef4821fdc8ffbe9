// From what is chosen to what is asked: the command, its options, and the messages of a live picture. No document here.

const ANGLES = ["yaw", "pitch", "roll"];
const SWEEP_STEP_DEG = 2;
const SWEEP_DEG = 30; // to each side where the yaw is 0

/** Name the command that the chosen files ask for. */
export function commandFor({ driving, follow }) {
  if (!driving) return "rotate";
  if (driving.kind === "sound") return "speak";
  return driving.kind === "video" && follow === "voice" ? "speak" : "reenact";
}

/** Write expressions as on the command line: jawOpen=0.4,mouthSmile_L=1. Those at 0 are left out. */
export function expressionText(expressions) {
  const parts = Object.entries(expressions).filter(([, weight]) => weight !== 0);
  return parts.map(([name, weight]) => `${name}=${weight}`).join(",");
}

/** Write where the eyes look: camera, source, or degrees right,up; "" for as in the motion. */
export function gazeText({ gaze, gazeRight, gazeUp }) {
  return gaze === "direction" ? `${gazeRight},${gazeUp}` : gaze;
}

export function backgroundText({ background, colour, backgroundFile }) {
  if (background === "colour") return colour;
  return background === "file" ? backgroundFile || "keep" : background;
}

/** Formats that a job can be written in; the first is the default. */
export function formatsFor(state) {
  const { source, driving, settings } = state;
  if (source?.kind === "video" || (driving && driving.kind !== "picture")) return ["mp4", "webm", "gif"];
  return commandFor(state) === "rotate" && settings.sweep ? ["mp4", "webm", "gif", "png"] : ["png"];
}

/** Build the body of POST /api/jobs. Only options that the command has and that differ from its defaults are sent. */
export function jobFor(state) {
  const { settings, source, driving, face, info } = state;
  const command = commandFor(state);
  const known = new Set(info.commands[command].options.map((option) => option.name));
  const options = { ...angles(settings, command), face, ...settings.more[command] };
  if (settings.strength !== 1) options.strength = settings.strength;
  if (!settings.relative) options.relative = false;
  options.expression = expressionText(settings.expressions);
  options.gaze = gazeText(settings);
  options.background = backgroundText(settings);
  const unset = { face: "largest", expression: "", gaze: "", background: "keep" };
  for (const name of Object.keys(options)) if (!known.has(name) || options[name] === unset[name]) delete options[name];
  const formats = formatsFor(state);
  const format = formats.includes(settings.format) ? settings.format : formats[0];
  return { command, source: source.id, ...(driving && { driving: driving.id }), options, format };
}

function angles(settings, command) {
  const set = ANGLES.filter((name) => settings[name] !== 0).map((name) => [name, String(settings[name])]);
  const made = Object.fromEntries(set);
  if (command === "rotate" && settings.sweep) {
    const most = Math.abs(settings.yaw) || SWEEP_DEG;
    made.yaw = `${-most}:${most}:${SWEEP_STEP_DEG}`;
  }
  return made;
}

const NOT_LIVE = ["transparent", "follow"]; // backgrounds that only a job can make

/** Build a message of controls for the live picture. */
export function controlsFor({ settings }, { mirror, isFrozen, isPaused }) {
  const { yaw, pitch, roll, strength, relative } = settings;
  const expressions = Object.fromEntries(Object.entries(settings.expressions).filter(([, weight]) => weight !== 0));
  return {
    type: "controls",
    yaw,
    pitch,
    roll,
    strength,
    relative,
    expressions,
    gaze: gazeText(settings) || null,
    background: NOT_LIVE.includes(settings.background) ? "keep" : backgroundText(settings),
    mirror,
    is_frozen: isFrozen,
    is_paused: isPaused,
  };
}
