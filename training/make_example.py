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

from training.example_shapes import Array, FaceShapes, smooth
from vid2vid_cli.arrays import Frame
from vid2vid_cli.checkpoints.reading import embedded_checkpoint
from vid2vid_cli.geometry.rotation import rotation_from_pose
from vid2vid_cli.media.audio import AudioSource, Muxing, SoundTarget, add_sound, encodings, find_sound, tracks_of
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

FPS = 25
FRAMES = 120
SAMPLE_RATE_HZ = 24000
# What is cut out of the portrait, left, top, right and bottom in shares of its size: the head, large, without the
# border, which generated pictures often spoil.
CUT = (0.045, 0.008, 0.943, 0.906)
# Nonsense: begin and length in seconds, jaw 0 to 1, pucker (spread where negative).
SYLLABLES = (
    (0.22, 0.28, 0.50, 0.0), (0.43, 0.26, 0.85, -0.3), (0.64, 0.26, 0.50, 0.6), (0.84, 0.28, 0.90, 0.0),
    (3.84, 0.28, 0.80, -0.2), (4.06, 0.28, 0.70, 0.6), (4.28, 0.26, 0.50, 0.0),
)  # fmt: skip
BLINKS_S = (0.98, 1.96, 4.38)
WINK_S, WINK_EYE = 3.46, 0
# Holds of an expression: begin, length and rise in seconds, strength.
SMILES = ((1.02, 1.00, 0.28, 1.0), (3.30, 0.62, 0.20, 0.7))
SURPRISES = ((2.02, 0.80, 0.20, 1.0),)
FROWNS = ((2.76, 0.66, 0.20, 1.0),)
BROW_RAISES = ((0.30, 0.55, 0.20, 0.6), (3.90, 0.50, 0.20, 0.5))
# The same of the head, in degrees: positive yaw turns to the left edge of the picture, positive pitch looks down.
YAWS = ((0.16, 1.24, 0.50, 17.0), (2.64, 1.62, 0.50, -17.0))
PITCHES = ((2.02, 0.80, 0.24, -6.0), (2.76, 0.66, 0.24, 3.0), (3.98, 0.36, 0.18, 7.0))
ROLLS = ((1.02, 1.00, 0.40, 4.0), (3.20, 0.80, 0.30, -4.0))


def bump(times_s: Array, begin_s: float, length_s: float) -> Array:
    """Return a smooth hill of height 1 over a span of time, 0 elsewhere: (T,)."""
    share = np.clip((times_s - begin_s) / length_s, 0, 1)
    return np.asarray(np.sin(np.pi * share) ** 2)


def held(times_s: Array, holds: tuple[tuple[float, float, float, float], ...]) -> Array:
    """Return the sum of plateaus (begin, length and rise in seconds, height) that rise and fall smoothly: (T,)."""
    track = np.zeros_like(times_s)
    for begin_s, length_s, rise_s, height in holds:
        track += height * smooth((times_s - begin_s) / rise_s) * smooth((begin_s + length_s - times_s) / rise_s)
    return track


def speech_tracks(times_s: Array) -> tuple[Array, Array]:
    """Return how far the jaw opens and the lips pucker at each time, (T,) each."""
    hills = [bump(times_s, begin, length) for begin, length, _, _ in SYLLABLES]
    jaw = sum((h * syllable[2] for h, syllable in zip(hills, SYLLABLES, strict=True)), np.zeros_like(times_s))
    pucker = sum((h * syllable[3] for h, syllable in zip(hills, SYLLABLES, strict=True)), np.zeros_like(times_s))
    return np.minimum(jaw, 1.0), pucker


def lid_track(times_s: Array, begins_s: tuple[float, ...], shut_s: float = 0.08) -> Array:
    """Return how closed the eyes are at each time: shut within two frames, open again in three.

    shut_s: how long they stay shut.
    """
    tracks = [np.interp(times_s - begin, np.cumsum([0, 0.08, shut_s, 0.12]), [0, 1, 1, 0]) for begin in begins_s]
    return np.asarray(np.max(tracks, axis=0))


def script_expression(times_s: Array, shapes: FaceShapes, resting: Array) -> Array:
    """Return the scripted offsets of the mesh at each time: (T, 468, 3); resting as in `script_motion`."""
    jaw, pucker = speech_tracks(times_s)
    smile, surprise, frown = (held(times_s, holds) for holds in (SMILES, SURPRISES, FROWNS))
    moves = (
        (jaw + 0.2 * smile + 2.2 * surprise, shapes.jaw()),
        (pucker + 0.1 * surprise + 0.9 * frown, shapes.pucker()),
        (smile, shapes.smile()),
        (held(times_s, BROW_RAISES) + 1.3 * surprise, shapes.brows()),
        (frown, shapes.frown()),
        (lid_track(times_s, BLINKS_S) + 0.12 * smile - 0.25 * surprise, shapes.blink(resting)),
        (lid_track(times_s, (WINK_S,), shut_s=0.20), shapes.shut(resting, WINK_EYE)),
    )
    return sum((track[:, None, None] * shape for track, shape in moves), np.zeros((len(times_s), POINTS, 3)))


def script_motion(topology: FaceTopology, resting: Array) -> Motion:
    """Return the scripted motion of all frames; frame 0 is at rest.

    resting: (468, 3), the face that will be driven, in the canonical frame: its eyes must close well.
    """
    times_s = np.arange(FRAMES) / FPS
    expression = script_expression(times_s, FaceShapes(topology), resting)
    phase = 2 * np.pi * np.arange(FRAMES) / FRAMES
    # A head is never quite still.
    yaw_deg = held(times_s, YAWS) + 0.8 * np.sin(5 * phase)
    pitch_deg = held(times_s, PITCHES) + 0.8 * np.sin(4 * phase)
    roll_deg = held(times_s, ROLLS) + 0.6 * np.sin(3 * phase)
    angles = [torch.from_numpy(np.radians(a)).float() for a in (yaw_deg, pitch_deg, roll_deg)]
    # The head turns on a neck: it leans where it tilts and nods.
    lean = np.stack([0.0025 * roll_deg, -0.0012 * pitch_deg, np.zeros(FRAMES)], 1)
    return Motion(
        rotation=rotation_from_pose(*angles),
        translation=torch.from_numpy(lean).float(),
        scale=torch.full((FRAMES, 1), 0.4),
        expression=functional.pad(torch.from_numpy(expression).float(), (0, 0, 0, KEYPOINTS - POINTS)),  # eyes ahead
    )


def cut_head(portrait: Frame) -> Frame:
    """Return the part of a portrait that is animated, a view of it."""
    height, width = portrait.shape[:2]
    left, top, right, bottom = (round(share * side) for share, side in zip(CUT, (width, height) * 2, strict=True))
    return portrait[top:bottom, left:right]


def resting_face(portrait: Path) -> Array:
    """Return the mesh of a portrait with its expression, in the canonical frame: (468, 3)."""
    source = Source(portrait, PictureOptions(), start_engine(EngineOptions(), None), print)
    appearance = source.first_appearance()
    return (appearance.canonical + appearance.motion.expression[:, :POINTS])[0].numpy().astype(np.float64)


def hum_voice() -> NDArray[np.int16]:
    """Return a hum (N,) that opens and closes with the mouth: harmonics under two moving formants."""
    times_s = np.arange(FRAMES * SAMPLE_RATE_HZ // FPS) / SAMPLE_RATE_HZ
    jaw, pucker = speech_tracks(times_s)
    jaw = np.minimum(jaw + held(times_s, SURPRISES), 1.0)
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
        kind, arguments = CONTAINERS[".mp4"], container_arguments(output, MARKED)
        codec = [*encodings(kind.sound_encoder)[0], "-b:a", "48k"]
        found = find_sound(tracks_of(AudioSource(sound)), SoundTarget(frozenset(), [codec], arguments), print)
        if found is None:
            raise ValueError("the hum was not written")
        add_sound(silent, Muxing(found, Fraction(FRAMES, FPS), arguments), output)


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
        write_image(portrait, cut_head(read_image(options.portrait)))
        motion = script_motion(topology, resting_face(portrait))
        content = MotionFile(motion, torch.ones(FRAMES, dtype=torch.bool), Fraction(FPS), "compact")
        motion_file = options.motion or Path(folder) / "driving.motion.safetensors"
        save_motion(motion_file, content, force=True)
        render_example(portrait, motion_file, options.output)
    print(f"{options.output}: {FRAMES} frames, {options.output.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
