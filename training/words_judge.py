"""Judge words: when they are found to be said, and how mouths look that are put together of a person's own footage.

    python -m training.words_judge MEDIA [--every 8] [--films FOLDER]

MEDIA holds speech/grid_words.csv with the times of words, and its clips, all of one speaker. Every eighth sentence is
said on another film of the speaker by a mouth out of 20 other films, and read again from the rendered frames.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vid2vid_cli.dubbing.insides import Insides
from vid2vid_cli.dubbing.mouth_track import MouthTrack, MouthTracker, rest_of, spoken_mouth
from vid2vid_cli.dubbing.visemes import SHUT, Recombined, Unit, best_units, choose_units, units_of
from vid2vid_cli.errors import TranscriptError
from vid2vid_cli.face.mesh import FaceTracker
from vid2vid_cli.media.audio import AudioSource
from vid2vid_cli.media.sound import probe_sound, read_sound
from vid2vid_cli.media.video import WriteOptions, open_writer, probe_video
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.pipeline.engine import Engine, start_engine
from vid2vid_cli.pipeline.options import ReenactOptions
from vid2vid_cli.pipeline.source import Source
from vid2vid_cli.pipeline.speak import open_new_mouths
from vid2vid_cli.speech.alignment import AlignedWord, Aligner, Phone
from vid2vid_cli.speech.mouth import MOUTH_POINTS, SpokenMouth, opening_of
from vid2vid_cli.speech.spelling import words_of
from vid2vid_cli.speech.transcript import Word

LIBRARY = 20
CLOSED = 0.25  # of the 95th percentile of openings: lips below it are shut
OPTIONS = ReenactOptions(smooth=0.0)


@dataclass(frozen=True)
class Sentence:
    """A clip, its words with their true times, and how it was aligned; empty where that failed."""

    path: Path
    words: tuple[Word, ...]
    aligned: tuple[AlignedWord, ...]

    @property
    def phones(self) -> list[Phone]:
        """All phones in order."""
        return [phone for word in self.aligned for phone in word.phones]


def read_sentences(media: Path) -> Iterator[Sentence]:
    """Align every clip of the list of words."""
    words: dict[str, list[Word]] = defaultdict(list)
    with (media / "speech" / "grid_words.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            words[row["file"]].append(Word(row["word"], float(row["start_s"]), float(row["end_s"])))
    for name, said in sorted(words.items()):
        path, text = media / name, words_of(" ".join(word.text for word in said), name)
        sound = read_sound(AudioSource(path), probe_sound(path), print)
        try:
            aligned = tuple(Aligner(name, with_phones=True).align(sound, text))
        except TranscriptError:
            aligned = ()
        yield Sentence(path, tuple(said), aligned)


class Stage:
    """Says sentences on films of the same person."""

    def __init__(self, sentences: Sequence[Sentence]) -> None:
        """Take all sentences."""
        self.sentences, self.engine = sentences, start_engine(OPTIONS, None, None)
        self._tracks: dict[Path, MouthTrack] = {}

    def track(self, sentence: Sentence) -> MouthTrack:
        """Return the mouth of a whole clip."""
        if sentence.path not in self._tracks:
            tracker = MouthTracker(_compact(self.engine), self.engine.analyzer, "largest")
            self._tracks[sentence.path] = tracker.track(sentence.path, [(0.0, 60.0)], sample=False)
        return self._tracks[sentence.path]

    def say(self, sentence: Sentence, film: Sentence, library: Sequence[Sentence]) -> list[NDArray[np.uint8]]:
        """Return the frames of a film on which a sentence is said by footage of a library."""
        tracks = [self.track(each) for each in library]
        known = [unit for number, each in enumerate(library) for unit in units_of(number, each.phones)]
        wanted = units_of(-1, sentence.phones)

        def lips_at(number: int, time_s: float) -> NDArray[np.float32] | None:
            return tracks[number].lips(time_s)

        likely: list[Unit] = best_units(wanted, known) or []
        chosen = choose_units(wanted, likely, lips_at)
        if chosen is None:
            raise ValueError(f"{sentence.path}: the library has no such sounds")
        fps = probe_video(sentence.path).fps
        mouth = Recombined(wanted, chosen, likely, lips_at, float(1 / fps))
        count = min(probe_video(path.path).frame_count for path in (sentence, film))
        insides = Insides([self.track(film), *tracks])

        def mouths() -> Iterator[SpokenMouth]:
            times = [float((number + Fraction(1, 2)) / fps) for number in range(count)]
            return insides.fill(spoken_mouth(time_s, mouth.at(time_s)) for time_s in times)

        with open_new_mouths(
            self.engine, Source(film.path, OPTIONS, self.engine, print), mouths, count, OPTIONS
        ) as scene:
            return list(scene.frames())

    def openings(self, frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Read how far the mouth is open in frames, from its rest."""
        tracker, model, lips = FaceTracker(self.engine.analyzer), _compact(self.engine), []
        for frame in frames:
            face = tracker.update(frame)
            if face is None:
                raise ValueError("no face in a rendered frame")
            landmarks = torch.from_numpy(face.landmarks_px).float()[None]
            motion = model.motion(None, landmarks, (frame.shape[0], frame.shape[1]))
            lips.append(motion.expression[0, list(MOUTH_POINTS)].numpy())
        moved = np.stack(lips) - rest_of(np.stack(lips))
        return np.asarray(opening_of(torch.from_numpy(moved)).numpy())


def _compact(engine: Engine) -> CompactModel:
    if not isinstance(engine.loaded.model, CompactModel):
        raise TypeError("this judge reads mouths by compact")
    return engine.loaded.model


def judge_sentence(stage: Stage, index: int, films: Path | None) -> tuple[float, list[bool]]:
    """Return the correlation of a sentence's opening with the real one, and whether lips shut for each p, b and m."""
    sentence = stage.sentences[index]
    film = stage.sentences[(index + len(stage.sentences) // 2) % len(stage.sentences)]
    others = [each for each in stage.sentences if each not in (sentence, film) and each.aligned]
    library = [others[k] for k in np.random.default_rng(index).permutation(len(others))[:LIBRARY]]
    frames = stage.say(sentence, film, library)
    info = probe_video(sentence.path)
    if films is not None:
        films.mkdir(exist_ok=True)
        with open_writer(
            films / sentence.path.name, frames[0].shape[:2], WriteOptions(fps=info.fps, force=True)
        ) as file:
            for frame in frames:
                file.write(frame)
    made, real = stage.openings(frames), stage.track(sentence).openings()[: len(frames)]
    times = (np.arange(len(made)) + 0.5) / float(info.fps)
    phones = sentence.phones
    said = (times > phones[0].start_s - 0.1) & (times < phones[-1].end_s + 0.1)
    limit, half_s = CLOSED * float(np.percentile(made[said], 95)), 0.5 / float(info.fps)
    shut = [
        bool(made[(times > phone.start_s - half_s) & (times < phone.end_s + half_s)].min(initial=np.inf) < limit)
        for phone in phones
        if phone.name in SHUT
    ]
    return float(np.corrcoef(made[said], real[said])[0, 1]), shut


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", type=Path, help="folder with speech/grid_words.csv")
    parser.add_argument("--every", type=int, default=8, help="which sentences are said; 1 is all")
    parser.add_argument("--films", type=Path, help="folder for the rendered films, for another judge")
    options = parser.parse_args(arguments)
    sentences = list(read_sentences(options.media))
    pairs = [(mine.word, true) for each in sentences for mine, true in zip(each.aligned, each.words, strict=False)]
    away_ms = 1000 * np.abs([mine.start_s - true.start_s for mine, true in pairs])
    failed = sum(not each.aligned for each in sentences)
    print(f"words: starts {away_ms.mean():.1f} ms off, {np.mean(away_ms <= 60):.0%} within 60 ms; {failed} failed")
    stage = Stage(sentences)
    judged = [judge_sentence(stage, index, options.films) for index in range(0, len(sentences), options.every)]
    likeness, shut = [each for each, _ in judged], [each for _, all_shut in judged for each in all_shut]
    print(f"mouths: opening {np.mean(likeness):.2f}, worst {min(likeness):.2f}; shut on p, b, m {np.mean(shut):.0%}")


if __name__ == "__main__":
    main()
