"""Make examples/driving.mp4: a head that turns, talks and blinks as a script says.

    python -m training.make_example PORTRAIT -o examples/driving.mp4 [--motion driving.motion.safetensors]

Nobody was filmed. Movements are curves over time, shapes of the face are geometry on the checkpoint's mean face, and
the project itself renders a portrait with them. The first frame is at rest and the last one leads back to it. A
synthesised hum follows the mouth, so that the clip has sound to copy.
"""

from __future__ import annotations

import argparse
import tempfile
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from vid2vid_cli.checkpoints.reading import embedded_checkpoint
from vid2vid_cli.geometry.easing import smoothstep
from vid2vid_cli.geometry.rotation import rotation_from_pose
from vid2vid_cli.media.audio import AudioSource, Muxing, add_sound, codec_arguments, find_sound
from vid2vid_cli.media.encoder import CONTAINERS, container_arguments
from vid2vid_cli.media.image import read_image, write_image
from vid2vid_cli.media.provenance import MARKED
from vid2vid_cli.models.compact.mesh.topology import FaceTopology
from vid2vid_cli.models.compact.motion_layout import KEYPOINTS, POINTS
from vid2vid_cli.motion import Motion
from vid2vid_cli.motion_file import MotionFile
from vid2vid_cli.pipeline.engine import start_engine
from vid2vid_cli.pipeline.motion_output import save_motion
from vid2vid_cli.pipeline.options import EngineOptions, PictureOptions, ReenactOptions
from vid2vid_cli.pipeline.reenact import reenact
from vid2vid_cli.pipeline.source import Source

Array = NDArray[np.float64]

FPS = 25
TRIM_PX = 4  # of the portrait's border, which generated pictures often spoil
FRAMES = 120
SAMPLE_RATE_HZ = 24000
# Where the lower jaw turns, in the canonical frame (y down, z away): in front of the ears.
JAW_HINGE_YZ = (-0.05, -0.25)
# Two sentences of nonsense: begin and length in seconds, jaw 0 to 1, pucker (spread where negative).
SYLLABLES = (
    (0.30, 0.28, 0.45, 0.0), (0.50, 0.26, 0.75, -0.3), (0.70, 0.24, 0.30, 0.5), (0.86, 0.30, 0.95, 0.0),
    (1.10, 0.24, 0.40, -0.4), (1.26, 0.30, 0.60, 0.8), (1.52, 0.26, 0.70, 0.0), (1.72, 0.34, 0.35, -0.5),
    (2.55, 0.28, 0.70, -0.2), (2.76, 0.26, 0.40, 0.6), (2.94, 0.30, 1.00, 0.0), (3.18, 0.24, 0.35, -0.4),
    (3.34, 0.28, 0.55, 0.9), (3.58, 0.30, 0.85, -0.2), (3.84, 0.36, 0.45, 0.3),
)  # fmt: skip
SEAM_SINKS = 0.03  # of closed eyes, in eye distances
BLINKS_S = (0.92, 2.28, 3.96)
BROW_RAISES = ((0.75, 0.80, 0.8), (2.80, 0.90, 1.0))
SMILES = ((1.80, 0.95, 0.8), (4.05, 0.70, 0.6))


def smooth(x: Array) -> Array:
    """Return a smooth step in double precision, in which all curves are made."""
    return smoothstep(x, np.float64)


def bump(times_s: Array, begin_s: float, length_s: float) -> Array:
    """Return a smooth hill of height 1 over a span of time, 0 elsewhere: (T,)."""
    share = np.clip((times_s - begin_s) / length_s, 0, 1)
    return np.asarray(np.sin(np.pi * share) ** 2)


class FaceShapes:
    """Movements of the face at full strength: offsets (468, 3) of the mesh in the canonical frame, in eye distances."""

    def __init__(self, topology: FaceTopology) -> None:
        self._face = topology.canonical.numpy().astype(np.float64)
        lips = self._face[topology.inner_lips]
        half = len(lips) // 2
        self._upper_lip, self._lower_lip = lips[: half + 1], np.concatenate([lips[half:], lips[:1]])[::-1]
        self._eye_loops = topology.eyes
        mouth = (self._upper_lip + self._lower_lip) / 2
        self._mouth = mouth.mean(0)
        self._mouth_half = float(np.ptp(mouth[:, 0]) / 2)
        self._mouth_line = np.interp(self._face[:, 0], mouth[:, 0], mouth[:, 1])

    def jaw(self, angle_deg: float = 10.5) -> Array:
        """Open the mouth: what lies below the line of the lips turns down about the hinge of the jaw."""
        x, y, z = self._face.T
        beside = np.maximum(0, np.abs(x) - self._mouth_half)
        across = np.minimum(1, np.abs(x) / self._mouth_half)
        # Sharp between the lips, softer at their corners, which stay together, and ever softer over the cheeks.
        weight = smooth((y - self._mouth_line) / (0.07 + 0.28 * across**2 + 1.6 * beside) + 0.5)
        angle = np.radians(angle_deg)
        down, away = y - JAW_HINGE_YZ[0], z - JAW_HINGE_YZ[1]
        turned = np.stack(
            [
                np.zeros_like(x),
                np.cos(angle) * down - np.sin(angle) * away - down,
                np.sin(angle) * down + np.cos(angle) * away - away,
            ],
            1,
        )
        offsets = weight[:, None] * turned
        offsets[:, 1] -= 0.025 * self._near(self._upper_lip, 0.10) * (1 - weight)
        return np.asarray(offsets)

    def pucker(self) -> Array:
        """Push the lips forward and their corners together."""
        near = self._near(np.concatenate([self._upper_lip, self._lower_lip]), 0.28)
        return np.stack([-0.30 * near * self._face[:, 0], 0 * near, -0.06 * near], 1)

    def smile(self) -> Array:
        """Draw the corners of the mouth outwards, up and back."""
        corners = np.exp(-np.square(self._distance(self._upper_lip[[0, -1]])) / (2 * 0.14**2))
        return np.stack([0.05 * corners * np.sign(self._face[:, 0]), -0.06 * corners, 0.03 * corners], 1)

    def blink(self, face: Array) -> Array:
        """Lay the upper lids of a face (468, 3) on its lower ones; the skin above follows."""
        offsets = np.zeros_like(face)
        x, y = face[:, 0], face[:, 1]
        for loop in self._eye_loops:
            one, other = face[loop[:9]], face[np.append(loop[8:], loop[0])]
            upper, lower = sorted(
                (chain[np.argsort(chain[:, 0])] for chain in (one, other)), key=lambda c: c[:, 1].mean()
            )
            lid = np.interp(x, upper[:, 0], upper[:, 1])
            opening = np.interp(x, lower[:, 0], lower[:, 1]) - lid
            above = smooth(1 - (lid - y) / 0.16)
            reached = (x > upper[0, 0]) & (x < upper[-1, 0]) & (y < lid + 0.3 * opening)
            offsets[:, 1] += np.where(reached, opening * above, 0)
            # The seam sinks a little below where the lower lid was, which hides the white of the eye.
            share = np.interp(face[loop, 0], [upper[0, 0], upper[:, 0].mean(), upper[-1, 0]], [0, 1, 0])
            offsets[loop, 1] += SEAM_SINKS * smooth(2 * share)
        return offsets

    def brows(self) -> Array:
        """Raise the eyebrows and wrinkle the forehead a little."""
        height = -self._face[:, 1]
        eye = -float(self._face[self._eye_loops, 1].min(1).mean())
        rise = smooth((height - eye - 0.02) / 0.14) * (1 - smooth((height - eye - 0.20) / 0.28))
        return np.stack([0 * rise, -0.075 * rise, 0 * rise], 1)

    def _distance(self, anchors: Array) -> Array:
        return np.asarray(np.linalg.norm(self._face[:, None, :2] - anchors[None, :, :2], axis=-1).min(1))

    def _near(self, anchors: Array, reach: float) -> Array:
        return 1 - smooth(self._distance(anchors) / reach)


def speech_tracks(times_s: Array) -> tuple[Array, Array]:
    """Return how far the jaw opens and the lips pucker at each time, (T,) each."""
    hills = [bump(times_s, begin, length) for begin, length, _, _ in SYLLABLES]
    jaw = sum((h * syllable[2] for h, syllable in zip(hills, SYLLABLES, strict=True)), np.zeros_like(times_s))
    pucker = sum((h * syllable[3] for h, syllable in zip(hills, SYLLABLES, strict=True)), np.zeros_like(times_s))
    return np.minimum(jaw, 1.0), pucker


def blink_track(times_s: Array) -> Array:
    """Return how closed the eyes are at each time: shut within two frames, for two, and open again in three."""
    tracks = [np.interp(times_s - begin, [0, 0.08, 0.16, 0.28], [0, 1, 1, 0]) for begin in BLINKS_S]
    return np.asarray(np.max(tracks, axis=0))


def script_motion(topology: FaceTopology, resting: Array) -> Motion:
    """Return the scripted motion of all frames; frame 0 is at rest.

    resting: (468, 3), the face that will be driven, in the canonical frame: its eyes must close well.
    """
    times_s = np.arange(FRAMES) / FPS
    shapes = FaceShapes(topology)
    jaw, pucker = speech_tracks(times_s)
    brows = sum((h * bump(times_s, b, n) for b, n, h in BROW_RAISES), np.zeros(FRAMES))
    smile = sum((h * bump(times_s, b, n) for b, n, h in SMILES), np.zeros(FRAMES))
    moves = (
        (jaw, shapes.jaw()),
        (pucker, shapes.pucker()),
        (smile, shapes.smile()),
        (brows, shapes.brows()),
        (blink_track(times_s), shapes.blink(resting)),
    )
    expression = sum((track[:, None, None] * shape for track, shape in moves), np.zeros((FRAMES, 468, 3)))
    phase = 2 * np.pi * np.arange(FRAMES) / FRAMES
    yaw_deg = 16 * np.sin(phase) - 5 * np.sin(2 * phase) + 1.5 * np.sin(5 * phase)
    pitch_deg = 3.5 * np.sin(2 * phase) + 1.8 * np.sin(3 * phase) - 1.2 * np.sin(7 * phase)
    roll_deg = -3 * np.sin(phase) + 2.5 * np.sin(3 * phase)
    angles = [torch.from_numpy(np.radians(a)).float() for a in (yaw_deg, pitch_deg, roll_deg)]
    # The head turns on a neck: it leans where it tilts and nods.
    lean = np.stack([0.0025 * roll_deg, -0.0012 * pitch_deg, np.zeros(FRAMES)], 1)
    return Motion(
        rotation=rotation_from_pose(*angles),
        translation=torch.from_numpy(lean).float(),
        scale=torch.full((FRAMES, 1), 0.4),
        expression=functional.pad(torch.from_numpy(expression).float(), (0, 0, 0, KEYPOINTS - POINTS)),  # eyes ahead
    )


def resting_face(portrait: Path) -> Array:
    """Return the mesh of a portrait with its expression, in the canonical frame: (468, 3)."""
    source = Source(portrait, PictureOptions(), start_engine(EngineOptions(), None), print)
    appearance = source.first_appearance()
    return (appearance.canonical + appearance.motion.expression[:, :POINTS])[0].numpy().astype(np.float64)


def hum_voice() -> NDArray[np.int16]:
    """Return a hum (N,) that opens and closes with the mouth: harmonics under two moving formants."""
    times_s = np.arange(FRAMES * SAMPLE_RATE_HZ // FPS) / SAMPLE_RATE_HZ
    jaw, pucker = speech_tracks(times_s)
    pitch_hz = 190 + 18 * np.sin(2 * np.pi * 0.5 * times_s) - 14 * smooth((times_s % 2.3) / 2.3)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / SAMPLE_RATE_HZ
    first_hz, second_hz = 320 + 480 * jaw, 1500 - 600 * pucker
    sound = np.zeros_like(times_s)
    for harmonic in range(1, 16):
        tone_hz = harmonic * pitch_hz
        gain = np.exp(-(((tone_hz - first_hz) / 220) ** 2)) + 0.35 * np.exp(-(((tone_hz - second_hz) / 300) ** 2))
        sound += (gain + 0.02) / np.sqrt(harmonic) * np.sin(harmonic * phase)
    sound *= smooth(jaw / 0.5)
    return np.asarray(0.2 * sound / np.abs(sound).max() * 32767, np.int16)


def write_sound(path: Path, samples: NDArray[np.int16]) -> None:
    """Write mono samples as a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(samples.astype("<i2").tobytes())


def render_example(portrait: Path, motion_file: Path, output: Path) -> None:
    """Drive the portrait with a motion file, and add the hum."""
    options = ReenactOptions(reference_frame="0", size=512, crf=24, preset="slow", force=True)
    with tempfile.TemporaryDirectory() as folder:
        silent, sound = Path(folder) / "silent.mp4", Path(folder) / "hum.wav"
        reenact(portrait, motion_file, silent, options)
        write_sound(sound, hum_voice())
        found = find_sound(AudioSource(sound))
        if found is None:
            raise ValueError("the hum was not written")
        kind = CONTAINERS[".mp4"]
        codec = [*codec_arguments(found.codec, kind.copied_sounds, kind.sound_encoder), "-b:a", "48k"]
        muxing = Muxing(found, Fraction(FRAMES, FPS), codec, container_arguments(output, MARKED))
        add_sound(silent, muxing, output)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portrait", type=Path, help="a face that may be published, at rest and looking ahead")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--motion", type=Path, help="also keep the scripted motion in this file")
    options = parser.parse_args()
    topology = FaceTopology.from_state(embedded_checkpoint().tensors)
    with tempfile.TemporaryDirectory() as folder:
        portrait = Path(folder) / "portrait.png"
        write_image(portrait, read_image(options.portrait)[TRIM_PX:-TRIM_PX, TRIM_PX:-TRIM_PX])
        motion = script_motion(topology, resting_face(portrait))
        content = MotionFile(motion, torch.ones(FRAMES, dtype=torch.bool), Fraction(FPS), "compact")
        motion_file = options.motion or Path(folder) / "driving.motion.safetensors"
        save_motion(motion_file, content, force=True)
        render_example(portrait, motion_file, options.output)
    print(f"{options.output}: {FRAMES} frames, {options.output.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
