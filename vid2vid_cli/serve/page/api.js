// The HTTP API of the server, as docs/serve.md describes it. What it refuses is an ApiError with its one line.

export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

const UNREACHABLE = "The server does not answer; has `vid2vid serve` ended?";

function lineOf(body, status) {
  try {
    return JSON.parse(body).error || `The server answered ${status}.`;
  } catch {
    return status === 401
      ? "The token is missing; open the address that `vid2vid serve` printed."
      : `The server answered ${status}.`;
  }
}

async function request(path, init = {}) {
  let response;
  try {
    response = await fetch(path, init);
  } catch {
    throw new ApiError(UNREACHABLE, 0);
  }
  const body = await response.text();
  if (!response.ok) throw new ApiError(lineOf(body, response.status), response.status);
  return body ? JSON.parse(body) : null;
}

export const getInfo = () => request("/api/info");
export const getFile = (id) => request(`/api/files/${id}`);
export const getJob = (id) => request(`/api/jobs/${id}`);
export const getJobs = () => request("/api/jobs").then((answer) => answer.jobs);
export const deleteFile = (id) => request(`/api/files/${id}`, { method: "DELETE" });
export const endJob = (id) => request(`/api/jobs/${id}`, { method: "DELETE" });
export const pictureOf = (file) => `/api/files/${file.id ?? file}/picture`;
export const filmOf = (file) => `/api/files/${file.id}/content`;
export const resultOf = (job) => `/api/jobs/${job.id}/result`;
export const previewOf = (job, index) => `/api/jobs/${job.id}/preview?index=${index}`;

export function startJob(job) {
  const form = new FormData();
  form.append("job", JSON.stringify(job));
  return request("/api/jobs", { method: "POST", body: form });
}

/** Upload a File or Blob. onProgress gets 0 to 1. fetch tells nothing about uploads, so this is the older interface. */
export function uploadFile(blob, name, onProgress) {
  const form = new FormData();
  form.append("file", blob, name);
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.upload.addEventListener("progress", (event) => onProgress(event.loaded / event.total));
    sending.addEventListener("load", () => {
      if (sending.status < 300) resolve(JSON.parse(sending.responseText));
      else reject(new ApiError(lineOf(sending.responseText, sending.status), sending.status));
    });
    sending.addEventListener("error", () => reject(new ApiError(UNREACHABLE, 0)));
    sending.open("POST", "/api/files");
    sending.send(form);
  });
}

/** Follow a job until it ends: onJob(job) at each change, onPreview(index). Returns a function that stops following. */
export function followJob(id, onJob, onPreview) {
  const events = new EventSource(`/api/jobs/${id}/events`);
  events.addEventListener("job", (event) => {
    const job = JSON.parse(event.data);
    if (hasEnded(job)) events.close(); // else the browser would connect again when the server closes
    onJob(job);
  });
  events.addEventListener("preview", (event) => onPreview(JSON.parse(event.data).index));
  return () => events.close();
}

export const hasEnded = (job) => !["waiting", "running"].includes(job.state);

/** Open the socket of live pictures. */
export function openLiveSocket() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/live`);
  socket.binaryType = "blob";
  return socket;
}
