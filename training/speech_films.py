"""Judge films of strangers who speak: what a tracker that is not ours reads off them, beside the real speakers.

    python -m training.speech_films MEDIA --judge expression.py --judge-python judge-env/bin/python --out FOLDER

Each clip of kind `speech_test` is spoken by a portrait of MEDIA/sources, and the opening of the mouth in the film is
compared with that of the real speaker at the same time (correlation, and gain: the film's standard deviation over the
speaker's). Sentences by flite, which tells when each phone is spoken, show whether lips close. The judge is a file with
a function `features(path)`, which returns (N, 2 or more) for the frames of a clip, first the opening of the mouth, then
its width, over the distance of the eyes' outer corners; it runs in an environment of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.speech_sentences import spoken
from training.speech_tracks import Clip, read_sound, speech_clips
from training.sync_judge import WINDOW, lags, load_judge, talk_of
from vid2vid_cli.face.landmarks import LANDMARKS
from vid2vid_cli.face.mesh import FaceTracker
from vid2vid_cli.face.paste import resize_frame
from vid2vid_cli.media.image import read_image, write_image
from vid2vid_cli.media.probe import probe_video
from vid2vid_cli.media.video import read_video
from vid2vid_cli.models.registry import load_face_analyzer
from vid2vid_cli.pipeline.options import SpeakOptions
from vid2vid_cli.pipeline.output import fit_size
from vid2vid_cli.pipeline.speak import speak

Array = NDArray[np.float64]

PORTRAITS = ("s01", "s08", "s15", "s16", "s24", "s26", "s27")
FPS = 25
OPTIONS = SpeakOptions(crf=12, force=True)
# A picture is cut around the head and brought to this size: of a small face few pixels would show the mouth.
AROUND, SIZE_PX = 2.4, 512
# None of them is among the sentences that taught when lips shut.
SENTENCES = (
    "Maybe Bob keeps a spare umbrella in the back of my cupboard.",
    "A pump must be built before the camp becomes a swamp.",
    "Tomorrow morning we both hope to meet people from the museum.",
)
VOICE = "rms"
SHUT = frozenset(("p", "b", "m"))
VOWELS = frozenset("aa ae ah ao aw ay eh er ey ih iy ow oy uh uw ax".split())  # noqa: SIM905
CLOSED = 0.03  # over the distance of the eyes' outer corners: less above the film's own least is closed
LEAST = 0.05  # quantile
IN_STEP_S = 0.04
AROUND_S = 0.04  # before and after a phone: a frame's length
LONG_S = 0.06  # vowels that last less may be swallowed by their neighbours

_ASK = """
import importlib.util, json, sys
import numpy as np
spec = importlib.util.spec_from_file_location("judge", sys.argv[1])
judge = importlib.util.module_from_spec(spec)
spec.loader.exec_module(judge)
np.savez(sys.argv[2], **{str(k): judge.features(path) for k, path in enumerate(sys.argv[3:])})
"""


@dataclass(frozen=True)
class Judge:
    """The file of a judge, and the Python that runs it."""

    file: Path
    python: Path

    def read(self, clips: Sequence[Path], kept: Path) -> list[Array]:
        """Return what it reads off clips: (N, F) each, NaN where it finds no face. kept: a file for the numbers."""
        command = [str(self.python), "-c", _ASK, str(self.file), str(kept), *map(str, clips)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with np.load(kept, allow_pickle=False) as numbers:
            return [np.asarray(numbers[str(k)], np.float64) for k in range(len(clips))]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", type=Path, help="folder with MANIFEST.csv")
    parser.add_argument("--judge", type=Path, required=True, help="the judge's file")
    parser.add_argument("--judge-python", type=Path, required=True, help="the Python of its environment")
    parser.add_argument("--out", type=Path, required=True, help="folder for the films")
    parser.add_argument("--each", type=int, default=1, help="portraits for each clip")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    judge, portraits = Judge(given.judge, given.judge_python), list(_portraits(given.media, given.out))
    began = time.process_time()
    films = list(_films(given.media, portraits, given.each, given.out))
    print(f"{len(films)} films in {time.process_time() - began:.0f} s of processor time")
    figures = {**judge_openings(films, judge, given.out), **judge_closure(portraits, judge, given.out)}
    figures["sync"] = judge_sync([film for _, film in films])
    (given.out / "figures.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")


def _portraits(media: Path, out: Path) -> Iterator[Path]:
    """Write the heads of the strangers into a folder, and yield them."""
    analyzer = load_face_analyzer()
    for path in (path for name in PORTRAITS for path in sorted((media / "sources").glob(f"{name}_*"))):
        picture = read_image(path)
        face = max(analyzer.faces(picture, thorough=True), key=lambda one: one.size_px)
        low = np.maximum(face.center_px - AROUND / 2 * face.size_px, 0).astype(int)
        high = (face.center_px + AROUND / 2 * face.size_px).astype(int)
        head = picture[low[1] : high[1], low[0] : high[0]]
        write_image(out / f"{path.stem}.png", resize_frame(head, fit_size(head.shape[:2], SIZE_PX)), force=True)
        yield out / f"{path.stem}.png"


def _films(media: Path, portraits: Sequence[Path], each: int, out: Path) -> Iterator[tuple[Clip, Path]]:
    """Let every test clip be spoken by some portraits, which take turns."""
    tests = [clip for clip in speech_clips(media) if clip.is_test]
    for number, clip in enumerate(tests):
        for turn in range(each):
            portrait = portraits[(number * each + turn) % len(portraits)]
            film = out / f"{clip.name}--{portrait.stem}.mp4"
            fps = str(probe_video(clip.path).fps)
            speak(portrait, clip.path, film, replace(OPTIONS, fps=fps))
            yield clip, film


def judge_openings(films: Sequence[tuple[Clip, Path]], judge: Judge, out: Path) -> dict[str, dict[str, float]]:
    """Print and return how the films' mouths go with the speakers', speaker by speaker."""
    real = judge.read([clip.path for clip, _ in films], out / "real.npz")
    shown = judge.read([film for _, film in films], out / "films.npz")
    scores: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    print(f"{'film':44} {'opening':>8} {'gain':>6} {'width':>6}")
    for (clip, film), speaker, portrait in zip(films, real, shown, strict=True):
        opening, gain = _together(speaker[:, 0], portrait[:, 0])
        width, _ = _together(speaker[:, 1], portrait[:, 1])
        scores[clip.speaker].append((opening, gain, width))
        print(f"{film.stem:44} {opening:8.2f} {gain:6.2f} {width:6.2f}", flush=True)
    means = {
        name: dict(zip(("opening", "gain", "width"), np.mean(rows, 0), strict=True)) for name, rows in scores.items()
    }
    for name, row in means.items():
        print(f"{'speaker ' + name:44} {row['opening']:8.2f} {row['gain']:6.2f} {row['width']:6.2f}")
    openings = [row["opening"] for row in means.values()]
    print(f"opening: mean {np.mean(openings):.2f}, least of a speaker {min(openings):.2f}")
    return means


def _together(one: Array, other: Array) -> tuple[float, float]:
    """Return the correlation of two series and the ratio of their spreads, over the frames that both have."""
    count = min(len(one), len(other))
    seen = ~np.isnan(one[:count]) & ~np.isnan(other[:count])
    one, other = one[:count][seen], other[:count][seen]
    return float(np.corrcoef(one, other)[0, 1]), float(other.std() / one.std())


def judge_closure(portraits: Sequence[Path], judge: Judge, out: Path) -> dict[str, dict[str, float]]:
    """Print and return in how many bilabials lips are shut, and in how many vowels."""
    films, phones = [], []
    for number, text in enumerate(SENTENCES):
        sound, said = spoken(VOICE, number, text, out)
        portrait = portraits[number % len(portraits)]
        films.append(out / f"sentence{number}--{portrait.stem}.mp4")
        phones.append(said)
        speak(portrait, sound, films[-1], OPTIONS)
    shut, vowels = [], []
    for numbers, said in zip(judge.read(films, out / "closure.npz"), phones, strict=True):
        least = np.nanquantile(numbers[:, 0], LEAST)
        begin_s = 0.0
        for phone, end_s in said:
            if phone in SHUT:
                shut.append(_least(numbers[:, 0], begin_s - AROUND_S, end_s + AROUND_S) < least + CLOSED)
            elif phone in VOWELS and end_s - begin_s > LONG_S:
                third = (end_s - begin_s) / 3
                vowels.append(_most(numbers[:, 0], begin_s + third, end_s - third) < least + CLOSED)
            begin_s = end_s
    figures = {"shut": float(np.mean(shut)), "vowels shut": float(np.mean(vowels))}
    print(f"lips shut in {figures['shut']:.0%} of {len(shut)} p, b and m")
    print(f"vowels wrongly shut: {figures['vowels shut']:.0%} of {len(vowels)}")
    return {"closure": figures}


def judge_sync(films: Sequence[Path]) -> dict[str, float]:
    """Print and return in how many windows of the films the sound is within 40 ms of the mouth.

    The mouth is read by the tracker that drives as well, but heard by a judge that takes no part, see sync_judge.py.
    """
    network, analyzer, late_s = load_judge(), load_face_analyzer(), []
    for film in films:
        tracker = FaceTracker(analyzer)
        faces = [tracker.update(frame) for frame in read_video(film)]
        missing = np.full((1, 3), np.nan, np.float32)
        meshes = [missing.repeat(LANDMARKS, 0) if face is None else face.landmarks_px[:LANDMARKS] for face in faces]
        talk = talk_of(np.stack(meshes), float(probe_video(film).fps), read_sound(film))
        late_s += list(lags(network, talk, WINDOW // 2))
    share = float(np.mean(np.abs(late_s) <= IN_STEP_S))
    print(f"sound within {IN_STEP_S * 1000:.0f} ms of the mouth in {share:.0%} of {len(late_s)} windows of 2.5 s")
    print(f"its median lag: {np.median(late_s) * 1000:.0f} ms")
    return {"within 40 ms": share, "median_s": float(np.median(late_s))}


def _frames(begin_s: float, end_s: float, count: int) -> slice:
    first = max(0, min(count - 1, int(np.ceil(begin_s * FPS))))
    return slice(first, max(first + 1, int(np.floor(end_s * FPS)) + 1))


def _least(openings: Array, begin_s: float, end_s: float) -> float:
    return float(np.nanmin(openings[_frames(begin_s, end_s, len(openings))]))


def _most(openings: Array, begin_s: float, end_s: float) -> float:
    return float(np.nanmax(openings[_frames(begin_s, end_s, len(openings))]))


if __name__ == "__main__":
    main()
