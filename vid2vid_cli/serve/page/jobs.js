// The list of jobs since the server started, newest first.

import { endJob, getJobs, hasEnded, pictureOf, resultOf } from "./api.js";
import { $, element, icon } from "./elements.js";
import { announce, guarded, seconds } from "./messages.js";
import { showJob } from "./result.js";
import { state } from "./state.js";

const AGAIN_MS = 2000;
const NAMES = { reenact: "Reenact", rotate: "Rotate", speak: "Speak" };
const rows = new Map(); // id of a job: its row
let timer = null;

export function startJobs() {
  state.addEventListener("job", () => state.job && note(state.job));
  state.addEventListener("jobs", show);
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
}

function note(news) {
  const isKnown = state.jobs.some((job) => job.id === news.id);
  state.change({ jobs: isKnown ? state.jobs.map((job) => (job.id === news.id ? news : job)) : [news, ...state.jobs] });
}

/** Ask the server for its jobs, and again soon while one is running. */
export const refresh = guarded(async () => {
  clearTimeout(timer);
  state.change({ jobs: await getJobs() });
  if (state.jobs.some((job) => !hasEnded(job))) timer = setTimeout(refresh, AGAIN_MS);
});

function show() {
  const { jobs } = state;
  $("#no-jobs").hidden = jobs.length > 0;
  const known = new Set(jobs.map((job) => job.id));
  for (const [id, row] of rows) {
    if (known.has(id)) continue;
    row.remove();
    rows.delete(id);
  }
  jobs.forEach((job, index) => {
    const row = rows.get(job.id) ?? makeRow(job);
    update(row, job);
    const list = $("#job-list");
    if (list.children[index] !== row) list.insertBefore(row, list.children[index] ?? null);
  });
}

function makeRow(job) {
  const button = (className, label, onclick, name) =>
    element(
      "button",
      {
        type: "button",
        className: `quiet ${className}`,
        "aria-label": `${label}: ${titleOf(job)}`,
        onclick: guarded(onclick),
      },
      ...(name ? [icon(name)] : [label]),
    );
  const current = () => state.jobs.find((other) => other.id === job.id);
  const buttons = element(
    "div",
    { className: "row" },
    button("show", "Show", () => {
      showJob(current());
      $("#stage").scrollIntoView({ block: "nearest" });
    }),
    element(
      "a",
      {
        className: "button quiet icon-only download",
        href: `${resultOf(job)}?download=1`,
        "aria-label": `Download: ${titleOf(job)}`,
      },
      icon("download"),
    ),
    button("end", "Delete", () => end(job.id)),
  );
  const copy = button("icon-only", "Copy the command", () => copyText(job.command_line), "copy");
  const command = element("code", { tabIndex: 0, role: "group", "aria-label": "Command" }, job.command_line);
  const thumb = element("img", { className: "thumb", src: pictureOf(job.source), alt: "", loading: "lazy" });
  thumb.onerror = () => {
    thumb.style.visibility = "hidden";
  };
  const words = element(
    "div",
    {},
    element("p", { className: "job-title" }, titleOf(job)),
    element("p", { className: "hint job-state" }),
  );
  const row = element("li", {}, thumb, words, buttons, element("div", { className: "job-command" }, command, copy));
  rows.set(job.id, row);
  return row;
}

/** Name a job by the files in its command: "Reenact portrait.png, clip.mp4". */
function titleOf(job) {
  const names = job.command_line
    .split(" ")
    .slice(2)
    .filter((word) => !word.startsWith("-"));
  return `${NAMES[job.command]} ${names.slice(0, job.driving ? 2 : 1).join(", ")}`;
}

function update(row, job) {
  row.className = `job ${job.state}`;
  $(".job-state", row).textContent = wordsOf(job);
  $(".download", row).hidden = job.state !== "done";
  const end = $(".end", row);
  end.textContent = hasEnded(job) ? "Delete" : "Cancel";
  end.setAttribute("aria-label", `${end.textContent}: ${titleOf(job)}`);
}

function wordsOf(job) {
  if (job.state === "waiting") return "Waiting";
  if (job.state === "running")
    return job.total ? `Rendering, ${Math.floor((100 * job.done) / job.total)} %` : "Rendering";
  if (job.state === "done") return `Done in ${seconds(job.seconds)}, ${size(job.result.bytes)}`;
  return job.state === "failed" ? job.error : "Cancelled";
}

const size = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

async function end(id) {
  const wasOver = hasEnded(state.jobs.find((job) => job.id === id));
  await endJob(id);
  if (wasOver && state.job?.id === id) state.change({ job: null });
  if (wasOver) $("#jobs-title").scrollIntoView({ block: "nearest" });
  announce(wasOver ? "Deleted." : "Cancelled.");
  await refresh();
}

async function copyText(text) {
  await navigator.clipboard.writeText(text);
  announce("Copied.");
}
