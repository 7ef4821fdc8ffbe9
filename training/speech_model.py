"""Train what the speech checkpoint holds beside its encoder: shapes of mouths, their reader and that of phones.

    python -m training.speech_encoder encoder.safetensors -o weights/speech.safetensors
    python -m training.speech_model MEDIA --cache TRACKS -o weights/speech.safetensors

What the encoder hears is kept in TRACKS too. Needs flite and pocketsphinx. Only rows of kind `speech` are learned from.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.checkpoint_file import renew_sum, update_checkpoint
from training.speech_alignment import align
from training.speech_material import Spoken, read_material, speakers_of
from training.speech_phones import train_phones
from training.speech_reader import Course, measures_of, mouth_shapes, train
from training.speech_sentences import phone_labels, sentences
from training.speech_tracks import Track, cached_tracks
from training.speech_variants import Labelled, Lesson, as_they_are, disguised
from vid2vid_cli.speech.encoder import FEATURES_HZ, SpeechEncoder
from vid2vid_cli.speech.log_mel import SAMPLE_RATE
from vid2vid_cli.speech.mouth import opening_of, width_of
from vid2vid_cli.speech.reader import TEETH, MouthReader, PhoneReader

GUISES, WITHOUT_PAUSES, PHONE_GUISES = 8, 6, 2
REST, UNKNOWN = -1.0, -2.0  # instead of the number of a step: a mouth at rest, and one that nobody knows
SURE = 0.6  # that a step is f or v
AMPLITUDES = (0.8, 1.3)
UNSEEN = 1.08  # speakers that were left out in turn are moved so much less than those learned from
NOBODY = -1  # whoever speaks a text that is known: the phones need no speaker


def kept(place: Path, make: Callable[[], Sequence[Lesson]]) -> Lesson:
    """Return lessons as one, from a file if it is there. Labels are whole numbers."""
    if not place.exists():
        lessons = make()
        labels = torch.cat([lesson.labels for lesson in lessons]).nan_to_num(UNKNOWN).to(torch.int32)
        columns = {"features": torch.cat([lesson.features for lesson in lessons]), "labels": labels}
        save_file(columns | {"speaker": torch.cat([lesson.speaker for lesson in lessons])}, place)
    file = load_file(place)
    return Lesson(file["features"], file["labels"].float(), file["speaker"])


def heard_mouths(material: Sequence[Spoken], encoder: SpeechEncoder, cache: Path) -> list[Lesson]:
    """Return what is heard of the clips, as they are and in guises; labels are numbers of steps of all clips."""
    speakers, first = speakers_of(material), 0
    items = []
    for clip in material:
        numbers = torch.arange(first, first + len(clip.lips)).float()[:, None]
        items.append(Labelled(clip.sound, numbers, speakers.index(clip.speaker)))
        first += len(clip.lips)
    lessons = [kept(cache / "heard.safetensors", partial(as_they_are, items, encoder))]
    for guise in range(GUISES):
        rest = None if guise < WITHOUT_PAUSES else torch.tensor([REST])
        make = partial(disguised, items, encoder, rest, np.random.default_rng(guise))
        lessons.append(kept(cache / f"heard_{guise}.safetensors", make))
    return lessons


def heard_phones(tracks: Sequence[Track], encoder: SpeechEncoder, cache: Path) -> list[Lesson]:
    """Return what is heard of flite's sentences and of the clips whose text is known; labels are groups of phones."""

    def make(guise: int) -> list[Lesson]:
        items = list(sentences(cache / "flite"))
        for track in tracks:
            if track.clip.text:
                phones = [(phone.name, phone.end_s) for phone in align(track.sound, track.clip.text.strip())]
                labels = phone_labels(phones, len(track.sound) * FEATURES_HZ // SAMPLE_RATE)
                items += [Labelled(torch.from_numpy(track.sound), labels, NOBODY)] * 2
        return disguised(items, encoder, torch.zeros(1), np.random.default_rng(100 + guise))

    places = [cache / f"phones_{guise}.safetensors" for guise in range(PHONE_GUISES)]
    return [kept(place, partial(make, guise)) for guise, place in enumerate(places)]


def with_strengths(lesson: Lesson, strengths: Tensor) -> Lesson:
    """Replace numbers of steps with the strengths (T, K) of all steps; unknown ones are NaN."""
    rest, unknown = torch.zeros(1, strengths.shape[1]), torch.full((1, strengths.shape[1]), torch.nan)
    table = torch.cat([strengths, unknown, rest])  # the last two rows are numbers -2 and -1
    return Lesson(lesson.features, table[lesson.labels[:, 0].long()], lesson.speaker)


def gain_of(network: MouthReader, lesson: Lesson, opens: Tensor) -> float:
    """Return by how much a network moves mouths too little, by the openings of what it was trained on. opens: (K,)."""
    known = lesson.labels.isfinite().all(1)
    with torch.inference_mode():
        read = network(lesson.features.float()[None])[0]
    spread = [float((strengths[known] @ opens).std()) for strengths in (lesson.labels, read)]
    return UNSEEN * float(np.clip(spread[0] / spread[1], *AMPLITUDES))


def biting(lesson: Lesson, phones: PhoneReader) -> Tensor:
    """Return the mean strengths (K,) in steps that are surely f or v."""
    with torch.inference_mode():
        sure = phones(lesson.features.float()[None])[0].softmax(-1)[:, TEETH] > SURE
    return lesson.labels[sure & lesson.labels.isfinite().all(1)].mean(0)


def build(media: Path, cache: Path, encoder: SpeechEncoder, course: Course) -> dict[str, Tensor]:
    """Train all and return the tensors of the checkpoint."""
    tracks = [track for track in cached_tracks(media, cache) if not track.clip.is_test]
    material = read_material(tracks)
    lips = torch.cat([clip.lips / clip.amplitude for clip in material])
    known = lips[:, 0, 0].isfinite()
    shapes, found = mouth_shapes(lips[known])
    strengths = torch.full((len(lips), len(shapes)), torch.nan)
    strengths[known] = found
    usual = float(opening_of(lips[known]).std()), float(width_of(lips[known]).std())
    lessons = [with_strengths(lesson, strengths) for lesson in heard_mouths(material, encoder, cache)]
    network = train(lessons, measures_of(shapes, usual), course)
    phones = train_phones(heard_phones(tracks, encoder, cache))
    gain = gain_of(network, lessons[0], opening_of(shapes))
    print(f"{len(material)} clips, {len(speakers_of(material))} speakers; gain {gain:.2f}")
    reader = {f"reader.{name}": tensor for name, tensor in network.state_dict().items()}
    for name in ("weight", "bias"):
        reader[f"reader.outward.{name}"] = reader[f"reader.outward.{name}"] * gain
    mouth = {"mouth.shapes": shapes, "mouth.teeth_on_lip": biting(lessons[0], phones)}
    return reader | mouth | {f"phones.{name}": tensor for name, tensor in phones.state_dict().items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", type=Path, help="folder with MANIFEST.csv")
    parser.add_argument("--cache", type=Path, required=True, help="folder for what is read and heard")
    parser.add_argument("--steps", type=int, default=Course.steps, help="of training")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the checkpoint, with its encoder")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    encoder = SpeechEncoder().eval()
    state = load_file(options.output)
    encoder.load_state_dict(
        {k.removeprefix("encoder."): v.float() for k, v in state.items() if k.startswith("encoder.")}
    )
    tensors = build(options.media, options.cache, encoder, Course(steps=options.steps))
    record = json.dumps({"guises": GUISES, "phone_guises": PHONE_GUISES, "steps": options.steps})
    stored = {name: tensor.half() for name, tensor in tensors.items()}
    update_checkpoint(options.output, stored, {"training": record}, replaces=("reader.", "phones.", "mouth."))
    renew_sum(options.output)


if __name__ == "__main__":
    main()
