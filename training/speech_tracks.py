"""Follow the faces of talking clips once, and keep what was read beside their sound.

    python -m training.speech_tracks MEDIA --cache TRACKS

MEDIA holds MANIFEST.csv and the clips that it names: rows of kind `speech` train, rows of kind `speech_test` judge.
The mesh of each frame is brought onto the canonical head, so that no pose is left in it. A clip that is in the cache
is not read again.
"""

from __future__ import annotations

import argparse
import csv
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vid2vid_cli.checkpoints.reading import embedded_checkpoint
from vid2vid_cli.face.landmarks import LANDMARKS
from vid2vid_cli.face.mesh import FaceTracker
from vid2vid_cli.geometry.keypoints import fit_similarity
from vid2vid_cli.geometry.rotation import pose_from_rotation
from vid2vid_cli.media.ffmpeg import executable
from vid2vid_cli.media.probe import probe_video
from vid2vid_cli.media.video import read_video
from vid2vid_cli.models.compact.mesh.topology import FaceTopology
from vid2vid_cli.models.registry import load_face_analyzer

Array = NDArray[np.float32]
SAMPLE_RATE = 16000
KINDS = ("speech", "speech_test")


@dataclass(frozen=True)
class Clip:
    """A talking clip. speaker: who talks; is_test: it may only judge. text: what is said, where it is known."""

    path: Path
    speaker: str
    is_test: bool
    text: str

    @property
    def name(self) -> str:
        """Return the name of the file without its ending."""
        return self.path.stem


@dataclass(frozen=True)
class Track:
    """What was read of a clip of T frames.

    faces: (T, 468, 3), canonical frame, eye distances; NaN where no face was found. pose_deg: (T, 3), yaw, pitch, roll.
    sound: (N,) at 16 kHz in [-1, 1]. fps: frames a second.
    """

    clip: Clip
    faces: Array
    pose_deg: Array
    sound: Array
    fps: float


def speech_clips(media: Path) -> Iterator[Clip]:
    """Yield the talking clips of a folder's manifest."""
    with (media / "MANIFEST.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["kind"] not in KINDS:
                continue
            speaker = re.search(r"speaker (\w+)", row["note"])
            text = re.search(r"text: ([\w ]+)", row["note"])
            yield Clip(
                media / row["file"],
                speaker[1] if speaker else Path(row["file"]).stem,
                row["kind"] == "speech_test",
                text[1] if text else "",
            )


def read_sound(path: Path) -> Array:
    """Return the sound of a file as (N,) at 16 kHz, one channel, in step with the picture."""
    command = [executable(), "-v", "error", "-i", str(path), "-vn", "-af", f"aresample={SAMPLE_RATE}:first_pts=0"]
    done = subprocess.run([*command, "-ac", "1", "-f", "s16le", "-"], capture_output=True, check=True)
    return np.asarray(np.frombuffer(done.stdout, np.int16) / 32768, np.float32)


def track(clip: Clip, tracker: FaceTracker, topology: FaceTopology) -> Track:
    """Read a clip."""
    faces, poses = [], []
    for frame in read_video(clip.path):
        face = tracker.update(frame)
        if face is None:
            faces.append(np.full((LANDMARKS, 3), np.nan, np.float32))
            poses.append(np.full(3, np.nan, np.float32))
            continue
        points = torch.from_numpy(face.landmarks_px[None, :LANDMARKS])
        pose = fit_similarity(topology.canonical[None], points, topology.rigid_weights)
        faces.append(pose.undo(points)[0].numpy())
        angles = torch.cat(pose_from_rotation(pose.rotation))
        poses.append(torch.rad2deg(angles).numpy().astype(np.float32))
    info = probe_video(clip.path)
    return Track(clip, np.stack(faces), np.stack(poses), read_sound(clip.path), float(info.fps))


def cached_tracks(media: Path, cache: Path) -> Iterator[Track]:
    """Yield the track of every talking clip, from the cache where it is there."""
    torch.set_num_threads(1)
    state = embedded_checkpoint().tensors
    topology, analyzer = FaceTopology.from_state(state), load_face_analyzer()
    cache.mkdir(parents=True, exist_ok=True)
    for clip in speech_clips(media):
        place = cache / f"{clip.name}.npz"
        if not place.exists():
            read = track(clip, FaceTracker(analyzer), topology)
            np.savez(place, faces=read.faces, pose_deg=read.pose_deg, sound=read.sound, fps=np.float64(read.fps))
        with np.load(place, allow_pickle=False) as file:
            yield Track(clip, file["faces"], file["pose_deg"], file["sound"], float(file["fps"]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", type=Path, help="folder with MANIFEST.csv")
    parser.add_argument("--cache", type=Path, required=True, help="folder for what is read")
    options = parser.parse_args(arguments)
    for read in cached_tracks(options.media, options.cache):
        lost = float(np.isnan(read.faces[:, 0, 0]).mean())
        kind = ", test" if read.clip.is_test else ""
        print(f"{read.clip.name:28} {read.clip.speaker:10} {len(read.faces):4} frames, {lost:.0%} lost{kind}")


if __name__ == "__main__":
    main()
