// Where the page begins: each part listens first, then what the server knows is brought back.

import { getFile, getInfo, getJob } from "./api.js";
import { startAdjust } from "./adjust.js";
import { startCapture } from "./capture.js";
import { $ } from "./elements.js";
import { startExpressions } from "./expressions.js";
import { startFaces } from "./faces.js";
import { startFiles } from "./files.js";
import { refresh, startJobs } from "./jobs.js";
import { startLive } from "./live.js";
import { guarded } from "./messages.js";
import { startMoreOptions } from "./more_options.js";
import { showJob, startResult } from "./result.js";
import { startStage } from "./stage.js";
import { defaults, state } from "./state.js";

const PARTS = [
  startStage,
  startFiles,
  startFaces,
  startAdjust,
  startExpressions,
  startMoreOptions,
  startCapture,
  startLive,
  startJobs,
  startResult,
];

/** Bring back what this tab had chosen before a reload; what the server no longer has is forgotten. */
async function restore() {
  const kept = state.kept();
  const fetched = (get, id) => (id ? get(id).catch(() => null) : null);
  const [source, driving, job] = await Promise.all([
    fetched(getFile, kept.source),
    fetched(getFile, kept.driving),
    fetched(getJob, kept.job),
  ]);
  const settings = { ...defaults(), ...kept.settings };
  if (!(await fetched(getFile, settings.backgroundFile)))
    Object.assign(settings, { backgroundFile: "", backgroundName: "" });
  state.change({ settings, follow: kept.follow ?? "face" });
  state.change({ info: await getInfo(), driving });
  state.change({ source, face: (source && kept.face) ?? "largest" });
  if (job) showJob(job, kept.view);
  else state.change({ view: kept.view === "live" ? "live" : "still" });
}

const begin = guarded(async () => {
  for (const start of PARTS) start();
  await restore();
  const { version, checkpoint } = state.info;
  $("#about").textContent = `${version} · ${checkpoint}`;
  document.body.dataset.ready = "yes";
  await refresh();
});

begin();
