// The portrait and what moves it: chosen, dropped, pasted or recorded, uploaded, shown, removed.

import { deleteFile, pictureOf, uploadFile } from "./api.js";
import { $ } from "./elements.js";
import { announce, clearError, guarded, seconds, showError } from "./messages.js";
import { state } from "./state.js";

const ROLES = { source: "#portrait", driving: "#driving" };
const MOVING = ["picture", "video", "sound", "motion"];
const SHOWN = ["picture", "video", "person"];

export function startFiles() {
  for (const [role, selector] of Object.entries(ROLES)) startCard(role, $(selector));
  document.addEventListener("paste", (event) => takeFirst(event.clipboardData.files, event));
  // A file dropped beside the cards would make the browser leave the page.
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => takeFirst(event.dataTransfer.files, event));
}

function takeFirst(files, event) {
  if (!files.length) return;
  event.preventDefault();
  take(files[0].type.startsWith("image/") && !state.source ? "source" : roleOf(files[0]), files[0]);
}

const roleOf = (file) => (file.type.startsWith("image/") ? "source" : "driving");

function startCard(role, card) {
  const input = $("input[type=file]", card);
  input.addEventListener("change", () => {
    if (input.files.length) take(role, input.files[0]);
    input.value = ""; // so that the same file can be chosen again
  });
  const drop = $(".drop", card);
  for (const name of ["dragenter", "dragover"]) drop.addEventListener(name, () => drop.classList.add("over"));
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.stopPropagation();
    event.preventDefault();
    if (event.dataTransfer.files.length) take(role, event.dataTransfer.files[0]);
  });
  $(".remove", card).addEventListener("click", () => {
    choose(role, null);
    input.focus();
  });
  state.addEventListener(role, () => showCard(card, state[role]));
}

/** Upload a file for a role ("source" or "driving") and choose it. name: for a recording, which has none. */
export const take = guarded(async (role, blob, name = blob.name) => {
  const card = $(ROLES[role]);
  const bar = $("progress", card);
  bar.value = 0;
  setBusy(card, true);
  try {
    const limit = state.info?.limits.upload_bytes ?? Infinity;
    if (blob.size > limit)
      throw new Error(`${name}: ${megabytes(blob.size)}, and the server takes ${megabytes(limit)}`);
    const file = await uploadFile(blob, name, (done) => {
      bar.value = done;
    });
    clearError();
    checkRole(role, file);
    choose(role, file);
    announce(`${name} is chosen. ${factsOf(file)}`);
  } finally {
    setBusy(card, false);
  }
});

function checkRole(role, file) {
  if (role === "source" && !SHOWN.includes(file.kind))
    throw new Error(`${file.name} shows nobody (${file.kind}); choose a picture or a video as the portrait`);
  if (role === "driving" && !MOVING.includes(file.kind))
    throw new Error(`${file.name} holds no motion (${file.kind}); choose a clip, a sound or a motion file`);
  if (role === "source" && file.faces?.length === 0)
    showError(`No face was found in ${file.name}; say where it is with Face box, under More options.`);
}

function choose(role, file) {
  const former = state[role];
  const face = role === "source" ? { face: "largest" } : {};
  state.change({ [role]: file, ...face });
  if (former) forget(former);
}

/** Delete a file that is no longer chosen, unless a job shows what it was made from. */
function forget(file) {
  if (state.jobs.some((job) => [job.source, job.driving].includes(file.id))) return;
  deleteFile(file.id).catch(() => {}); // the server has forgotten it already
}

const megabytes = (bytes) => `${Math.round(bytes / 1e6)} MB`;

function setBusy(card, isBusy) {
  $(".drop", card).classList.toggle("busy", isBusy);
  $(".uploading", card).hidden = !isBusy;
}

function showCard(card, file) {
  const thumb = $(".thumb", card);
  $(".drop", card).classList.toggle("filled", file !== null);
  $(".chosen", card).hidden = file === null;
  if (file === null) return;
  $(".chosen-name", card).textContent = file.name;
  $(".chosen-facts", card).textContent = factsOf(file);
  if (file.width) thumb.src = pictureOf(file);
  else thumb.removeAttribute("src");
}

/** Say what a file is: "Video, 512 × 512, 3 s, 1 face". */
function factsOf(file) {
  const facts = [file.kind[0].toUpperCase() + file.kind.slice(1)];
  if (file.width) facts.push(`${file.width}\u00d7${file.height}`);
  if (file.duration_s) facts.push(seconds(Math.max(1, file.duration_s)));
  if (file.faces?.length === 1) facts.push("1 face");
  else if (file.width && file.faces)
    facts.push(file.faces.length ? `${file.faces.length} faces: choose one in the picture` : "no face found");
  return facts.join(", ");
}
