// Camera and microphone of the browser.

const SIZE = { width: { ideal: 640 }, height: { ideal: 480 } };

/** Open camera, microphone or both. Throws an Error with one line that says what to do. */
export async function openDevice({ video = false, audio = false }) {
  if (!navigator.mediaDevices)
    throw new Error(
      "Browsers give cameras and microphones only to pages on this computer or over HTTPS (--certificate).",
    );
  try {
    return await navigator.mediaDevices.getUserMedia({ video: video && { ...SIZE, facingMode: "user" }, audio });
  } catch (error) {
    throw new Error(wordsOf(error, video ? "camera" : "microphone"));
  }
}

function wordsOf(error, device) {
  if (error.name === "NotAllowedError")
    return `The browser was not allowed to use the ${device}; allow it beside the address of this page.`;
  if (error.name === "NotFoundError") return `This computer has no ${device}.`;
  if (error.name === "NotReadableError") return `The ${device} is in use by another program.`;
  return `The ${device} cannot be opened: ${error.message}`;
}

export function closeDevice(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

/** Draw a frame of a video as a JPEG blob, no side longer than `most` pixels. */
export function pictureFrom(video, most, quality = 0.85) {
  const scale = Math.min(1, most / Math.max(video.videoWidth, video.videoHeight));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", quality));
}
