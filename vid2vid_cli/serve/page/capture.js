// The dialog that takes a picture, records a clip or records a sound.

import { closeDevice, openDevice, pictureFrom } from "./camera.js";
import { $ } from "./elements.js";
import { take } from "./files.js";
import { announce, guarded } from "./messages.js";
import { state } from "./state.js";

const LONGEST_S = 60; // of a recording here; the server may allow less
const PICTURE_PX = 1920;
const MODES = {
  picture: {
    title: "Take a picture",
    go: "Take it",
    hint: "Look into the camera with a calm face, mouth closed.",
    role: "source",
    video: true,
  },
  clip: {
    title: "Record a clip",
    go: "Record",
    hint: "Begin with a calm face, then move and speak.",
    role: "driving",
    video: true,
    audio: true,
  },
  sound: {
    title: "Record a sound",
    go: "Record",
    hint: "Speak; the portrait will say it.",
    role: "driving",
    audio: true,
  },
};
const TYPES = {
  clip: ["video/webm;codecs=vp8,opus", "video/webm", "video/mp4"],
  sound: ["audio/webm;codecs=opus", "audio/webm", "audio/mp4", "audio/ogg"],
};

let stream = null;
let recorder = null;
let mode = null;
let stopMeter = () => {};

export function startCapture() {
  for (const [selector, name] of [
    ["#take-picture", "picture"],
    ["#record-clip", "clip"],
    ["#record-sound", "sound"],
  ]) {
    $(selector).addEventListener(
      "click",
      guarded(() => open(name)),
    );
  }
  $("#capture-go").addEventListener("click", guarded(act));
  $("#capture-cancel").addEventListener("click", () => $("#capture").close());
  $("#capture").addEventListener("close", release);
}

async function open(name) {
  mode = name;
  const { title, go, hint, video, audio } = MODES[name];
  stream = await openStream({ video, audio });
  $("#capture-title").textContent = title;
  $("#capture-go").textContent = go;
  $("#capture-hint").textContent = hint;
  $(".capture-view").classList.toggle("of-sound", !video);
  $("#capture-video").hidden = !video;
  $("#capture-level").hidden = video;
  $("#capture").showModal();
  if (!video) stopMeter = startMeter(stream);
  else {
    $("#capture-video").srcObject = stream;
    await $("#capture-video").play();
  }
}

/** A clip without sound is better than none where there is no microphone. */
async function openStream({ video = false, audio = false }) {
  try {
    return await openDevice({ video, audio });
  } catch (error) {
    if (!video || !audio) throw error;
    return openDevice({ video });
  }
}

async function act() {
  if (mode === "picture") {
    const blob = await pictureFrom($("#capture-video"), PICTURE_PX, 0.95);
    $("#capture").close();
    await take("source", blob, "camera.jpg");
  } else if (recorder) recorder.stop();
  else record();
}

function record() {
  const type = TYPES[mode].find((name) => MediaRecorder.isTypeSupported(name));
  const parts = [];
  const suffix = ["mp4", "ogg"].find((kind) => type?.includes(kind)) ?? "webm";
  const name = `${mode === "clip" ? "clip" : "voice"}.${suffix}`;
  const made = new MediaRecorder(stream, type ? { mimeType: type } : {});
  made.ondataavailable = (event) => parts.push(event.data);
  made.onstop = () => {
    const isWanted = recorder === made; // else the dialog was closed
    recorder = null;
    if (!isWanted) return;
    $("#capture").close();
    take("driving", new Blob(parts, { type: made.mimeType }), name);
  };
  recorder = made;
  made.start();
  $("#capture-go").textContent = "Stop";
  $("#capture-go").classList.add("recording");
  announce("Recording.");
  count(made, performance.now());
}

function count(made, began) {
  if (recorder !== made) return;
  const passed = (performance.now() - began) / 1000;
  const most = Math.min(LONGEST_S, state.info?.limits.duration_s ?? LONGEST_S);
  $("#capture-hint").textContent = `Recording: ${passed.toFixed(0)} s of at most ${most} s`;
  if (passed >= most) made.stop();
  else setTimeout(() => count(made, began), 250);
}

/** Show how loud the microphone hears. */
function startMeter(heard) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(heard).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
    $("#capture-level").value = Math.min(1, 4 * Math.sqrt(power));
  }, 80);
  return () => {
    clearInterval(timer);
    context.close();
  };
}

function release() {
  const running = recorder;
  recorder = null;
  if (running?.state === "recording") running.stop();
  stopMeter();
  stopMeter = () => {};
  closeDevice(stream);
  stream = null;
  $("#capture-video").srcObject = null;
  $("#capture-go").classList.remove("recording");
}
