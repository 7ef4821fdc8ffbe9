// The picture that answers at once: one socket for a source. Controls and frames of the camera go up, JPEGs come down.

import { openLiveSocket } from "./api.js";

const LARGEST_PX = 768; // longer side of the picture: quick to render, and as large as most windows show it
const FORGOTTEN_MS = 2000; // a frame without an answer no longer counts as on its way
const RATE_OVER_MS = 2000;

/** Events: "ready", "picture" (detail: the server's words and a blob), "warning" and "ended" (a line, or null). */
export class LivePicture extends EventTarget {
  #socket = null;
  #sent = new Map(); // number of a frame: when it was sent
  #count = 0;
  #words = null; // what the server said about the next picture
  #controls = null; // newest, not yet sent
  #answers = []; // when pictures of the last seconds came
  isReady = false;

  open(source, face) {
    this.close();
    const socket = openLiveSocket();
    this.#socket = socket;
    const size = Math.max(source.width ?? 0, source.height ?? 0) > LARGEST_PX ? { size: LARGEST_PX } : {};
    socket.onopen = () => socket.send(JSON.stringify({ type: "start", source: source.id, face, ...size }));
    socket.onmessage = (event) => socket === this.#socket && this.#take(event.data);
    socket.onclose = () => socket === this.#socket && this.#end(null);
  }

  close() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#forget();
  }

  get isOpen() {
    return this.#socket !== null;
  }

  /** Frames of the camera that the server has not answered. */
  get inFlight() {
    const now = performance.now();
    for (const [number, time] of this.#sent) if (now - time > FORGOTTEN_MS) this.#sent.delete(number);
    return this.#sent.size;
  }

  /** Pictures a second, over the last seconds. */
  get rate() {
    const now = performance.now();
    this.#answers = this.#answers.filter((time) => now - time < RATE_OVER_MS);
    return this.#answers.length / (RATE_OVER_MS / 1000);
  }

  sendFrame(blob) {
    if (!this.isReady) return;
    this.#sent.set(this.#count++, performance.now());
    this.#socket.send(blob);
  }

  send(message) {
    if (this.isReady) this.#socket.send(JSON.stringify(message));
  }

  /** Send controls with the next picture of the screen: of several, the newest counts. */
  control(message) {
    const isWaiting = this.#controls !== null;
    this.#controls = message;
    if (!isWaiting)
      requestAnimationFrame(() => {
        this.send(this.#controls);
        this.#controls = null;
      });
  }

  #take(data) {
    if (typeof data !== "string") return this.#show(data);
    const words = JSON.parse(data);
    if (words.type === "frame") this.#words = words;
    else if (words.type === "error") this.#end(words.error);
    else if (words.type === "warning") this.#tell("warning", words.warning);
    else if (words.type === "ready") {
      this.isReady = true;
      this.#tell("ready", words);
    }
    return undefined;
  }

  #show(blob) {
    const words = this.#words ?? { number: -1 };
    this.#words = null;
    const now = performance.now();
    const delay = this.#sent.has(words.number) ? now - this.#sent.get(words.number) : null;
    // What was sent before the frame that is answered was dropped.
    for (const number of this.#sent.keys()) if (number <= words.number) this.#sent.delete(number);
    if (delay !== null) this.#answers.push(now);
    this.#tell("picture", { ...words, delay, blob });
  }

  #end(line) {
    this.close();
    this.#tell("ended", line);
  }

  #forget() {
    this.isReady = false;
    this.#sent.clear();
    this.#count = 0;
    this.#words = null;
    this.#answers = [];
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
