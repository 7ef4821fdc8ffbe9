"""What dubbing plans before it touches a file: changes of words, where they are found, and the edit list."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vid2vid_cli.dubbing.changes import Change, Wishes, describe, find_changes
from vid2vid_cli.dubbing.dub import there_and_back
from vid2vid_cli.dubbing.edit_list import (
    CUT_SEARCH_S,
    FASTEST,
    FILM,
    LONGEST_WAY_S,
    SLOWEST,
    EditList,
    Sound,
    Splice,
    make_edit_list,
)
from vid2vid_cli.dubbing.insides import Insides
from vid2vid_cli.dubbing.mouth_track import MouthTrack, spoken_mouth
from vid2vid_cli.dubbing.own_words import Said, find_own
from vid2vid_cli.dubbing.visemes import Recombined, Unit, best_units, choose_units, units_of
from vid2vid_cli.errors import UsageError
from vid2vid_cli.speech.alignment import Phone
from vid2vid_cli.speech.mouth import MIDDLE, MOUTH_POINTS, places_of
from vid2vid_cli.speech.transcript import RevisedTranscript, Revision, Transcript, Word

SAID = "The spider sat on the chair, and the spider slept."


def transcript(text: str) -> Transcript:
    """Words of 0.3 s each, one after the other."""
    words = tuple(Word(each, 0.3 * k, 0.3 * (k + 1)) for k, each in enumerate(text.split()))
    return Transcript(words, 0.3 * len(words) + 0.5)


def changes(**wishes: list[str]) -> list[Change]:
    return find_changes(RevisedTranscript(transcript(SAID)), Wishes(**wishes))


def test_words_are_found_by_what_they_say() -> None:
    assert changes(replace=["CHAIR=stone wall"]) == [Change(5, 6, "stone wall")]
    assert changes(delete=["spider#2"], replace=["sat on=lay under"]) == [Change(2, 4, "lay under"), Change(8, 9, "")]
    assert changes(insert=["spider#1=gladly", "=Yesterday"]) == [Change(0, 0, "Yesterday"), Change(2, 2, "gladly")]
    assert changes(insert=["slept=well"]) == [Change(10, 10, "well")]


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"replace": ["lion=cat"]}, "--replace lion=cat: 'lion' is not said; vid2vid transcript shows what is"),
        ({"delete": ["spider"]}, r"'spider' is said 2 times \(0.30 s, 2.40 s\); choose with spider#2"),
        ({"delete": ["spider#3"]}, "'spider' is said only 2 times"),
        ({"delete": ["chair#2"]}, "'chair' is said only once"),
        ({"replace": ["chair="]}, "nothing stands behind the =; use --delete"),
        ({"insert": ["chair= "]}, "nothing stands behind the ="),
        ({"replace": ["chair"]}, "--replace chair: write OLD=NEW"),
        ({"delete": ["..."]}, "names no word"),
        ({"delete": ["chair"], "replace": ["the chair=it"]}, "two changes meet at 'chair,'; write one change"),
        ({"delete": ["The spider sat on the chair, and the spider slept"]}, "every word is deleted"),
    ],
)
def test_wishes_that_cannot_be_are_one_line(wishes: dict[str, list[str]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        changes(**wishes)


def test_an_edited_transcript_changes_what_was_written_into_it() -> None:
    revised = RevisedTranscript(transcript(SAID), (Revision(5, "wall"), Revision(-1, "Look,", is_insertion=True)))
    found = find_changes(revised, Wishes(delete=["slept"]))
    assert found == [Change(0, 0, "Look,"), Change(5, 6, "wall"), Change(9, 10, "")]
    told = "; ".join(describe(found, revised.transcript.words))
    assert told == (
        "inserted 'Look,' at the beginning at 0.00 s; replaced 'chair,' by 'wall' at 1.50 s; deleted 'slept.' at 2.70 s"
    )


def test_new_words_are_the_longest_that_somebody_says() -> None:
    film = Said(FILM, Path("film"), transcript(SAID))
    library = [Said(1, Path("one"), transcript("the red lion sat on a wall")), Said(2, Path("two"), transcript("red"))]
    found = find_own(Change(5, 6, "the Red lion quietly, sadly slept"), film, library)
    assert [(each.text, None if each.said is None else each.said.number) for each in found] == [
        (("the", "red", "lion"), 1),
        (("quietly,", "sadly"), None),
        (("slept",), FILM),
    ]
    assert [word.text for word in found[0].words] == ["the", "red", "lion"]


def test_a_word_is_taken_from_where_its_neighbours_are_the_same() -> None:
    film = Said(FILM, Path("film"), transcript("go to my house now"))
    library = [Said(1, Path("one"), transcript("his red car")), Said(2, Path("two"), transcript("my red house"))]
    (found,) = find_own(Change(3, 3, "red"), film, library)
    assert found.said is library[1]


# --- the edit list ---


@st.composite
def edits(draw: st.DrawFn) -> tuple[float, list[Splice]]:
    """Splices in order, of any lengths, also none and also meeting each other; times are whole milliseconds."""
    edges = sorted(draw(st.lists(st.integers(0, 20_000), min_size=2, max_size=8).filter(lambda x: len(x) % 2 == 0)))
    splices = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        lengths = draw(st.lists(st.integers(30, 6000), max_size=3))
        splices.append(Splice(start / 1000, end / 1000, tuple(Sound(1, 2.0, 2.0 + each / 1000) for each in lengths)))
    return (edges[-1] + draw(st.integers(0, 3000))) / 1000, splices


@given(edits())
def test_sounds_and_pictures_fill_the_output_without_gaps(given_edits: tuple[float, list[Splice]]) -> None:
    duration_s, splices = given_edits
    made = make_edit_list(duration_s, splices)
    wanted_s = duration_s + sum(splice.length_s - (splice.end_s - splice.start_s) for splice in splices)
    for parts in (made.sounds, made.pictures):
        edges = [0.0, *(edge for part in parts for edge in (part.at_s, part.until_s)), wanted_s]
        gaps = np.diff(edges)
        assert gaps.min() > -1e-6 and np.abs(gaps[::2]).max() < 1e-4
    film = [part.sound for part in made.sounds if part.sound.source == FILM]
    assert all(one.end_s <= other.start_s + 1e-9 for one, other in pairwise(film))
    kept = sum(sound.length_s for sound in film)
    assert abs(kept - (duration_s - sum(splice.end_s - splice.start_s for splice in splices))) < 1e-4


@given(edits())
def test_pictures_stay_within_the_film_and_in_step_where_nothing_changes(
    given_edits: tuple[float, list[Splice]],
) -> None:
    duration_s, splices = given_edits
    made = make_edit_list(duration_s, splices)
    for picture in made.pictures:
        edges = sorted((picture.start_s, picture.end_s))
        assert edges[0] >= -1e-6 and edges[1] <= duration_s + 1e-6
        if picture.is_edited:
            continue
        # Film that was not touched plays at its own speed under its own sound.
        middle_s = (picture.at_s + picture.until_s) / 2
        sound = next(part for part in made.sounds if part.at_s - 1e-6 <= middle_s <= part.until_s + 1e-6)
        assert sound.sound.source == FILM
        assert abs(sound.sound.start_s + middle_s - sound.at_s - picture.film_s(middle_s)) < 1e-4


def at_speed(made: EditList) -> list[float]:
    return [abs(part.end_s - part.start_s) / (part.until_s - part.at_s) for part in made.pictures if part.is_edited]


def test_a_word_more_or_less_moves_the_film_without_a_cut() -> None:
    for gone_s, come_s in ((0.3, 0.5), (0.4, 0.0), (0.0, 0.4), (0.2, 0.2)):
        made = make_edit_list(9.0, [Splice(4.0, 4.0 + gone_s, (Sound(1, 0.0, come_s),) if come_s else ())])
        assert len(made.pictures) == 3 and SLOWEST <= at_speed(made)[0] <= FASTEST
        assert all(one.end_s == other.start_s for one, other in pairwise(made.pictures))


def test_a_long_insertion_plays_film_there_and_back() -> None:
    made = make_edit_list(9.0, [Splice(4.0, 4.0, (Sound(1, 0.0, 7.0),))])
    assert all(abs(one.end_s - other.start_s) < 1e-9 for one, other in pairwise(made.pictures)), "never a jump"
    assert all(abs(speed - 1) < 1e-6 for speed in at_speed(made))
    turned = [part for part in made.pictures if part.end_s < part.start_s]
    assert turned and max(part.start_s - part.end_s for part in turned) <= LONGEST_WAY_S


def test_a_long_deletion_cuts_where_the_head_jumps_least() -> None:
    def jump(one_s: float, other_s: float) -> float:
        return abs(one_s - 3.84) + abs(other_s - 8.16)

    made = make_edit_list(12.0, [Splice(4.0, 8.0)], jump)
    (cut,) = [(one, other) for one, other in pairwise(made.pictures) if abs(one.end_s - other.start_s) > 0.1]
    assert cut[0].end_s == pytest.approx(3.84) and cut[1].start_s == pytest.approx(8.16)
    assert abs(cut[0].until_s - 4.0) <= CUT_SEARCH_S and max(at_speed(made)) < 1.6


@pytest.mark.parametrize("splices", [[Splice(3, 2)], [Splice(1, 3), Splice(2, 4)], [Splice(8, 11)]])
def test_splices_that_overlap_are_refused(splices: list[Splice]) -> None:
    with pytest.raises(ValueError, match="follow each other"):
        make_edit_list(10.0, splices)


def test_a_longer_sound_lets_the_film_go_there_and_back() -> None:
    pictures = list(there_and_back(0.1, 2.0, 5.0))
    assert [(part.start_s, part.end_s, part.at_s) for part in pictures] == [
        (0.1, 2.1, 0.0),
        (2.1, 0.1, 2.0),
        (0.1, 1.1, 4.0),
    ]


# --- mouths of the person's own footage ---


class Seen(MouthTrack):
    """A track of mouths that are open so far."""

    def __init__(self, *openings: float) -> None:
        self.seen = [(opened(opening), f"inside {opening:g}") for opening in openings]

    def insides(self) -> list[tuple[np.ndarray, object]]:
        return self.seen


def opened(opening: float) -> np.ndarray:
    made = np.zeros((len(MOUTH_POINTS), 3), np.float32)
    for upper, lower in zip(*MIDDLE, strict=True):
        made[places_of((upper, lower)), 1] = -opening / 2, opening / 2
    return made


def shown(insides: Insides, *openings: float) -> list[object]:
    return [mouth.look for mouth in insides.fill(spoken_mouth(0.0, opened(each)) for each in openings)]


def test_an_opening_mouth_shows_what_it_showed_when_it_was_open_as_far() -> None:
    insides = Insides([Seen(0.0, 0.1), Seen(0.2, 0.3)])
    assert shown(insides, 0.0, 0.1, 0.19, 0.31) == [None, "inside 0.1", "inside 0.2", "inside 0.3"]
    assert shown(insides, 0.6) == [None], "nothing like it was seen"
    assert shown(Insides([]), 0.2) == [None]


def test_insides_that_are_nearly_alike_do_not_take_turns() -> None:
    insides = Insides([Seen(0.2, 0.205)])
    assert shown(insides, 0.199, 0.206, 0.199, 0.206) == ["inside 0.2"] * 4


def lips(opening: float) -> np.ndarray:
    made = np.zeros((len(MOUTH_POINTS), 3), np.float32)
    made[:, 1] = opening
    return made


PHONES = [Phone(name, 0.1 * k, 0.1 * (k + 1)) for k, name in enumerate("B IH N B L UW AE T SH".split())]  # noqa: SIM905


def known_lips(source: int, time_s: float) -> np.ndarray:
    """The footage opens by how late it is: so a mouth tells where it was taken from."""
    return lips(time_s)


def test_what_was_said_itself_is_found_again_unbroken() -> None:
    known = [*units_of(0, PHONES[:5]), *units_of(1, PHONES)]
    wanted = units_of(-1, [Phone(each.name, each.start_s + 5, each.end_s + 5) for each in PHONES])
    chosen = choose_units(wanted, known, known_lips)
    assert chosen is not None
    assert [unit.name for unit in chosen] == [unit.name for unit in wanted]
    assert {unit.source for unit in chosen if unit.name != "SIL"} == {1}
    made = Recombined(wanted, chosen, known, known_lips, 0.04)
    assert made.at(5.75)[0, 1] == pytest.approx(0.75 * 1.1, abs=0.06)
    assert not made.at(2.0).any(), "it rests in silence"


def test_the_mouth_parts_before_it_speaks_as_it_did_in_the_footage() -> None:
    phones = [Phone("L", 2.0, 2.1), Phone("EY", 2.1, 2.3)]
    wanted = units_of(-1, [Phone(each.name, each.start_s + 1, each.end_s + 1) for each in phones])
    known = units_of(0, phones)
    chosen = choose_units(wanted, known, known_lips)
    assert chosen is not None
    made = Recombined(wanted, chosen, known, known_lips, 0.04)
    before = [float(made.at(time_s)[0, 1]) for time_s in (2.5, 2.7, 2.85, 2.95)]
    assert before[0] == 0 < before[1] < before[2] < before[3] < 2.0, "the footage is 2 open where the sound begins"
    mid = [Unit(unit.source, unit.name, "T", "T", unit.start_s, unit.end_s) for unit in chosen]
    assert not Recombined(wanted, [wanted[0], *mid[1:]], [], known_lips, 0.04).at(2.9).any(), "of a word in the middle"


def test_lips_are_shut_in_the_frame_that_shows_p_b_or_m() -> None:
    wanted = units_of(-1, [Phone("AA", 0.0, 0.2), Phone("B", 0.2, 0.24), Phone("AA", 0.24, 0.5)])
    chosen = [Unit(0, unit.name, "AA", "AA", 3.0, 3.2) for unit in wanted]
    made = Recombined(wanted, chosen, [], known_lips, 0.04)
    for first in np.linspace(0, 0.04, 9):  # wherever the frames lie
        openings = [abs(float(made.at(time_s)[0, 1])) for time_s in np.arange(first, 0.5, 0.04)]
        assert min(openings) < 0.05 < max(openings)


def test_a_phone_that_looks_like_none_that_is_known_is_told() -> None:
    known = units_of(0, PHONES)
    wanted = units_of(-1, [Phone("F", 0.0, 0.1)])
    assert best_units(wanted, known) is None and choose_units(wanted, known, known_lips) is None
    assert best_units(units_of(-1, [Phone("M", 0.0, 0.1)]), known) is not None, "m looks like b"
