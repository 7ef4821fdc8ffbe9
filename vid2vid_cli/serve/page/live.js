// The stage's picture: the still that follows the sliders, and the portrait that follows the browser's camera.

import { pictureOf } from "./api.js";
import { closeDevice, openDevice, pictureFrom } from "./camera.js";
import { $, element } from "./elements.js";
import { LivePicture } from "./live_picture.js";
import { announce, guarded, showError } from "./messages.js";
import { controlsFor } from "./request.js";
import { state } from "./state.js";

const HIDDEN_MS = 60_000;
const FRAME_PX = 640; // longer side of a frame that is sent
const picture = new LivePicture();
const switches = { mirror: true, isFrozen: false, isPaused: false };
let camera = null;
let starting = null; // stands for the camera that was asked for last, while it or the picture is not there yet
let isDrawing = false;
let came = 0; // pictures from the server
let drawn = 0; // which of them is seen
let forgetting = null; // timer that gives the picture back while nobody looks

export function startLive() {
  for (const name of ["source", "face"]) state.addEventListener(name, openStill);
  state.addEventListener("source", () => state.source && drawSource());
  state.addEventListener("settings", sendControls);
  state.addEventListener("view", () => state.view !== "live" && stopCamera());
  document.addEventListener("visibilitychange", forgetWhileHidden);
  picture.addEventListener("ready", () => sendControls());
  picture.addEventListener(
    "ready",
    guarded(() => starting && startCamera()),
  );
  picture.addEventListener("picture", (event) => draw(event.detail));
  picture.addEventListener("warning", (event) => {
    tell(event.detail);
    announce(event.detail);
  });
  picture.addEventListener("ended", (event) => end(event.detail));
  $("#live-camera").addEventListener(
    "click",
    guarded(() => (camera || starting ? stopCamera() : askForCamera())),
  );
  $("#live-reference").addEventListener("click", () => {
    picture.send({ type: "reference" });
    announce("This face is now the neutral one.");
  });
  startSwitch("#live-freeze", "isFrozen");
  startSwitch("#live-pause", "isPaused");
  $("#live-mirror").checked = switches.mirror;
  $("#live-mirror").addEventListener("change", (event) => {
    switches.mirror = event.target.checked;
    $("#self").classList.toggle("mirrored", switches.mirror);
    sendControls();
  });
}

let isOpening = false;

/** Open the picture of the source and face chosen. A new source brings a new face; both ask, and once is enough. */
function openStill() {
  stopCamera();
  if (isOpening) return;
  isOpening = true;
  queueMicrotask(() => {
    isOpening = false;
    if (state.canBeLive) picture.open(state.source, state.face === "all" ? "largest" : state.face);
    else picture.close();
  });
}

function sendControls() {
  if (picture.isReady) picture.control(controlsFor(state, switches));
  else if (!picture.isOpen && state.canBeLive) openStill(); // it had ended, and somebody still wants it
}

function startSwitch(selector, name) {
  const button = $(selector);
  button.addEventListener("click", () => setSwitch(button, name, !switches[name]));
}

function setSwitch(button, name, isOn) {
  switches[name] = isOn;
  button.setAttribute("aria-pressed", String(isOn));
  sendControls();
}

/** Show the portrait as it was uploaded until the server has its first picture. */
async function drawSource() {
  const { source } = state;
  const image = element("img", { src: pictureOf(source) });
  await image.decode().catch(() => {});
  if (image.naturalWidth && state.source === source && !picture.isReady)
    drawImage(image, image.naturalWidth, image.naturalHeight);
}

function drawImage(image, width, height) {
  const canvas = $("#canvas");
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
    $("#fit").style.setProperty("--ratio", width / height);
  }
  canvas.getContext("2d").drawImage(image, 0, 0);
}

async function draw({ blob, delay, ...words }) {
  const order = ++came;
  const bitmap = await createImageBitmap(blob);
  if (order < drawn) return bitmap.close(); // a newer one was decoded sooner
  drawn = order;
  drawImage(bitmap, bitmap.width, bitmap.height);
  bitmap.close();
  const canvas = $("#canvas");
  canvas.dataset.number = words.number;
  canvas.dataset.pictures = Number(canvas.dataset.pictures ?? 0) + 1;
  if (delay === null) return tell("");
  return showFigures(words, delay);
}

function showFigures({ dropped, faces, is_held: isHeld }, delay) {
  const parts = [`${picture.rate.toFixed(0)} frames/s`, `${delay.toFixed(0)} ms`];
  if (dropped) parts.push(`${dropped} dropped`);
  if (isHeld) parts.push(faces === 0 ? "no face: held" : "held");
  tell(parts.join(" · "));
}

/** Write a line into the corner of the picture; "" takes it away. */
function tell(line) {
  $("#live-figures").textContent = line;
  $("#live-figures").hidden = line === "";
}

/** Start the camera as soon as the server has read the portrait. */
function askForCamera() {
  if (!picture.isOpen) openStill(); // it had ended
  starting = {};
  $("#live-camera").textContent = "Starting the camera…";
  return picture.isReady && startCamera();
}

async function startCamera() {
  const asked = starting;
  const stream = await openDevice({ video: true }).catch((error) => {
    if (starting === asked) stopCamera();
    throw error;
  });
  if (starting !== asked) return closeDevice(stream); // nobody wants it any more
  starting = null;
  camera = stream;
  camera.getVideoTracks()[0].onended = () => {
    stopCamera();
    showError("The camera has stopped; plug it in again, or choose another one in the browser.");
  };
  const video = $("#self");
  video.srcObject = camera;
  video.hidden = false;
  video.classList.toggle("mirrored", switches.mirror);
  await video.play();
  enableButtons(true);
  sendControls();
  announce("The camera drives the portrait.");
  return pump(video, camera);
}

/** Send a frame for each of the camera's, unless as many as allowed are on their way: then that frame is never sent. */
function pump(video, stream) {
  if (camera !== stream) return;
  const most = state.info.live.max_in_flight;
  if (!switches.isPaused && !isDrawing && picture.inFlight < most) sendFrame(video);
  const next = () => pump(video, stream);
  if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(next);
  else setTimeout(next, 30);
}

async function sendFrame(video) {
  isDrawing = true;
  try {
    const blob = await pictureFrom(video, FRAME_PX);
    if (camera && blob) picture.sendFrame(blob);
  } finally {
    isDrawing = false;
  }
}

function stopCamera() {
  if (!camera && !starting) return;
  starting = null;
  closeDevice(camera);
  camera = null;
  $("#self").srcObject = null;
  $("#self").hidden = true;
  tell("");
  picture.send({ type: "stop_camera" });
  enableButtons(false);
  sendControls();
}

function enableButtons(isOn) {
  $("#live-camera").textContent = isOn ? "Stop camera" : "Start camera";
  for (const selector of ["#live-reference", "#live-freeze", "#live-pause"]) $(selector).disabled = !isOn;
  for (const [selector, name] of [
    ["#live-freeze", "isFrozen"],
    ["#live-pause", "isPaused"],
  ]) {
    switches[name] = false;
    $(selector).setAttribute("aria-pressed", "false");
  }
}

function end(line) {
  const wasLive = camera !== null || starting !== null;
  stopCamera();
  if (line || wasLive) showError(line ?? "The connection to the server was lost.");
}

/** Each picture keeps a process of the server busy, so a window that nobody looks at gives its own back. */
function forgetWhileHidden() {
  clearTimeout(forgetting);
  if (!document.hidden) return state.canBeLive && !picture.isOpen && openStill();
  forgetting = setTimeout(() => camera || picture.close(), HIDDEN_MS);
  return undefined;
}
