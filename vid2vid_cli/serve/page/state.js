// What the page knows. Files and jobs live on the server; this tab keeps their ids and the settings over a reload.

const KEY = "vid2vid-page";

/** Settings that begin anew with Reset. Angles in degrees; expressions and gaze as on the command line. */
export const defaults = () => ({
  yaw: 0,
  pitch: 0,
  roll: 0,
  strength: 1,
  expressions: {},
  shown: [],
  gaze: "",
  gazeRight: 0,
  gazeUp: 0,
  background: "keep",
  colour: "#2f6f8f",
  backgroundFile: "",
  backgroundName: "",
  relative: true,
  sweep: false,
  format: "",
  more: {},
});

class State extends EventTarget {
  info = null; // answer of /api/info
  source = null; // file as the API describes it
  driving = null;
  face = "largest"; // or an index from the left, or "all"
  follow = "face"; // of a clip: its face, or its voice
  job = null; // the one that is shown under Result
  jobs = []; // all of them, newest first
  view = "still"; // still, live or result
  settings = defaults();

  /** Whether there is a portrait that can move at once; a film as portrait only moves in a job. */
  get canBeLive() {
    return this.source !== null && this.source.kind !== "video";
  }

  /** Change some fields, keep what lasts, and tell the listeners of each: state.addEventListener("source", ...). */
  change(fields) {
    Object.assign(this, fields);
    this.keep();
    for (const name of Object.keys(fields)) this.dispatchEvent(new Event(name));
  }

  set(settings) {
    this.change({ settings: { ...this.settings, ...settings } });
  }

  keep() {
    const { source, driving, face, follow, job, view, settings } = this;
    const kept = { source: source?.id, driving: driving?.id, job: job?.id, face, follow, view, settings };
    sessionStorage.setItem(KEY, JSON.stringify(kept));
  }

  kept() {
    try {
      return JSON.parse(sessionStorage.getItem(KEY)) ?? {};
    } catch {
      return {};
    }
  }
}

export const state = new State();
