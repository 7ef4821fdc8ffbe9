// One job on the stage: its progress with a preview, then the result beside what it was made from.

import { endJob, filmOf, followJob, getFile, hasEnded, pictureOf, previewOf, resultOf, startJob } from "./api.js";
import { $, element } from "./elements.js";
import { announce, clearError, guarded, seconds, showError } from "./messages.js";
import { jobFor } from "./request.js";
import { state } from "./state.js";

const NAMES = { source: "Portrait", driving: "Motion", result: "Result" };
const APART_S = 0.12; // videos further apart than this are brought together
let isAsking = false;
let stopFollowing = () => {};
let shownId = null;
let shownResult = null;
let started = null; // when the first frame of the job was seen to be done

export function startResult() {
  $("#adjust").addEventListener(
    "submit",
    guarded(async (event) => {
      event.preventDefault();
      if (isAsking) return; // a second press while the server answers would be a second job
      isAsking = true;
      clearError();
      try {
        showJob(await startJob(jobFor(state)));
      } finally {
        isAsking = false;
      }
    }),
  );
  $("#job-cancel").addEventListener(
    "click",
    guarded(() => endJob(state.job.id)),
  );
  $("#compare-toggle").addEventListener("change", arrange);
  state.addEventListener("job", show);
}

/** Put a job on the stage and follow it until it ends. */
export function showJob(job, view = "result") {
  stopFollowing();
  started = null;
  state.change({ job, view });
  if (hasEnded(job)) return;
  stopFollowing = followJob(
    job.id,
    (news) => {
      state.change({ job: news });
      if (hasEnded(news)) tellEnd(news);
    },
    (index) => showPreview(job, index),
  );
}

function tellEnd(job) {
  if (job.state === "failed") showError(job.error);
  else announce(job.state === "done" ? `Done in ${seconds(job.seconds)}.` : "Cancelled.");
}

function show() {
  const { job } = state;
  if (job === null) return;
  if (job.id !== shownId) showInputs(job);
  const isRunning = !hasEnded(job);
  $("#job-progress").hidden = !isRunning;
  $("#job-cancel").hidden = !isRunning;
  $("#job-end").hidden = isRunning;
  $("#job-end").textContent = endOf(job);
  $("#job-download").hidden = job.state !== "done";
  if (isRunning) showProgress(job);
  if (job.state === "done" && shownResult !== job.id) showResult(job);
}

function endOf(job) {
  const warnings = job.warnings?.length ? ` ${job.warnings.join(" ")}` : "";
  if (job.state === "done") return `Done in ${seconds(job.seconds)}.${warnings}`;
  return job.state === "failed" ? job.error : "Cancelled.";
}

function showProgress(job) {
  const bar = $("#job-bar");
  if (job.total) {
    bar.max = job.total;
    bar.value = job.done;
  } else bar.removeAttribute("value");
  $("#job-words").textContent = progressWords(job);
}

function progressWords(job) {
  if (job.state === "waiting") return "Waiting for another job";
  if (!job.done) return "Starting";
  started ??= { time: performance.now(), done: job.done };
  const each = (performance.now() - started.time) / (job.done - started.done);
  const words = job.total ? `${job.done} of ${job.total} frames` : `${job.done} frames`;
  if (!job.total || !Number.isFinite(each)) return words;
  return `${words}, ${seconds((each * (job.total - job.done)) / 1000)} left`;
}

/** Swap the preview when the new one has been decoded, so that it never flickers. */
async function showPreview(job, index) {
  const image = element("img", { src: previewOf(job, index), alt: "Preview of the result" });
  try {
    await image.decode();
  } catch {
    return; // the job ended meanwhile, and its preview with it
  }
  if (state.job?.id === job.id && shownResult !== job.id) put("result", image, "Preview");
}

/** Put a picture or film into its place, as large as the place allows, with its name in the corner. */
function put(role, media, name = NAMES[role]) {
  const fit = () => {
    const [width, height] =
      media.tagName === "VIDEO" ? [media.videoWidth, media.videoHeight] : [media.naturalWidth, media.naturalHeight];
    if (width) place.style.setProperty("--ratio", width / height);
  };
  const place = element("div", { className: "fit", "data-name": name }, media);
  media.addEventListener(media.tagName === "VIDEO" ? "loadedmetadata" : "load", fit);
  fit();
  $(`#compare-${role}`).replaceChildren(place, $(`#compare-${role} figcaption`));
}

async function showInputs(job) {
  shownId = job.id;
  shownResult = null;
  for (const name of ["source", "driving", "result"]) $(`#compare-${name} .fit`)?.remove();
  const own = shownId;
  const roles = ["source", "driving"].filter((role) => job[role]);
  const files = await Promise.all(roles.map((role) => getFile(job[role]).catch(() => null)));
  if (own !== shownId) return; // another job was chosen meanwhile
  roles.forEach((role, index) => files[index] && showInput(role, files[index]));
  arrange();
}

function showInput(role, file) {
  if (!file.width) return; // a sound
  const alt = role === "source" ? "The portrait" : "The motion";
  const picture = () => element("img", { src: pictureOf(file), alt });
  if (file.kind !== "video") return put(role, picture());
  const film = element("video", {
    src: filmOf(file),
    muted: true,
    playsInline: true,
    poster: pictureOf(file),
    "aria-label": alt,
  });
  film.onerror = () => put(role, picture()); // the browser cannot play what ffmpeg can
  put(role, film);
  return keepTogether();
}

function showResult(job) {
  shownResult = job.id;
  const address = resultOf(job);
  const isFilm = job.result.media_type.startsWith("video/");
  const made = isFilm
    ? element("video", { src: address, controls: true, playsInline: true, loop: true, "aria-label": "The result" })
    : element("img", { src: address, alt: "The result" });
  put("result", made);
  const link = $("#job-download");
  link.href = `${address}?download=1`;
  link.setAttribute("download", job.result.name);
  arrange();
  keepTogether();
}

/** Show what the result was made from beside it, or the result alone. */
function arrange() {
  const wanted = $("#compare-toggle").checked;
  let count = 1;
  for (const role of ["source", "driving"]) {
    const figure = $(`#compare-${role}`);
    figure.hidden = !wanted || !$(".fit", figure);
    count += figure.hidden ? 0 : 1;
  }
  $("#compare").className = `compare ${["one", "two", "three"][count - 1]}`;
}

/** The clips of the inputs follow the film of the result: played, paused, sought. */
function keepTogether() {
  const film = $("#compare-result video");
  if (!film) return;
  const clips = () => document.querySelectorAll("#compare-source video, #compare-driving video");
  const align = () => {
    for (const clip of clips()) {
      if (Math.abs(clip.currentTime - film.currentTime) > APART_S)
        clip.currentTime = Math.min(film.currentTime, clip.duration || Infinity);
      if (film.paused) clip.pause();
      else if (clip.paused && !clip.ended) clip.play().catch(() => {});
    }
  };
  for (const name of ["play", "pause", "seeked", "timeupdate"]) film[`on${name}`] = align;
}
