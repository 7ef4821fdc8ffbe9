"""Transcripts: what is written and read back, how texts are spelled out, and when words are said."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.clips import ffmpeg
from vid2vid_cli.cli.app import main
from vid2vid_cli.errors import TranscriptError, UsageError, Vid2VidError
from vid2vid_cli.media.audio import AudioSource
from vid2vid_cli.media.sound import Samples, probe_sound, read_sound
from vid2vid_cli.pipeline.transcript import make_transcript, read_transcript
from vid2vid_cli.pipeline.transcript_options import TranscriptOptions
from vid2vid_cli.speech.pronunciation import pronounce
from vid2vid_cli.speech.spelling import words_of
from vid2vid_cli.speech.subtitles import LINE_LETTERS, cues_of, from_subtitles, to_srt, to_vtt
from vid2vid_cli.speech.transcript import Revision, Transcript, Word, from_json, to_json

VOICE = Path(__file__).parents[1] / "examples" / "voice.flac"
TEXT = "Good morning. My face was painted long ago, but my voice is brand new."
PHONES = frozenset(
    "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH".split()  # noqa: SIM905
)

pytestmark = pytest.mark.usefixtures("own_folder")


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    """Words of any letters at whole milliseconds, with pauses or without."""
    texts = draw(st.lists(st.text("abcäß.,!?'<>&-", min_size=1, max_size=12), min_size=1, max_size=30))
    milliseconds, words = 0, []
    for text in texts:
        start = milliseconds + draw(st.sampled_from([0, 0, 1, 250, 3000]))
        milliseconds = start + draw(st.integers(1, 900))
        words.append(Word(text, start / 1000, milliseconds / 1000))
    return Transcript(tuple(words), milliseconds / 1000)


def near(one: Sequence[Word], other: Sequence[Word]) -> bool:
    same = [
        a.text == b.text and abs(a.start_s - b.start_s) + abs(a.end_s - b.end_s) < 2e-3
        for a, b in zip(one, other, strict=False)
    ]
    return len(one) == len(other) and all(same)


@given(transcripts())
def test_json_and_webvtt_keep_each_word_and_its_times(transcript: Transcript) -> None:
    assert from_json(to_json(transcript), "t").transcript == transcript
    assert near(from_subtitles(to_vtt(transcript), "t").words, transcript.words)


@given(transcripts())
def test_srt_keeps_the_words_and_the_times_of_lines(transcript: Transcript) -> None:
    read = from_subtitles(to_srt(transcript), "t").words if "<" not in transcript.text else transcript.words
    assert [word.text for word in read] == [word.text for word in transcript.words]
    for cue in cues_of(transcript.words):
        assert len(cue) == 1 or len(" ".join(word.text for word in cue)) <= LINE_LETTERS


def entries(*changed: dict[str, object]) -> str:
    words = [{"text": "one", "start_s": 0, "end_s": 1}, {"text": "two", "start_s": 1, "end_s": 2}, *changed]
    return json.dumps({"schema": "vid2vid-transcript", "version": 1, "duration_s": 3, "words": words})


def test_edits_of_a_person_are_read_apart_from_the_words() -> None:
    text = entries({"new": "two and a half"}, {"text": "three", "start_s": 2, "end_s": 3, "new": "four"})
    revised = from_json(text, "t")
    assert revised.transcript.text == "one two three"
    assert revised.revisions == (Revision(1, "two and a half", is_insertion=True), Revision(2, "four"))
    assert from_json(entries({"text": "x", "start_s": 2, "end_s": 3, "new": ""}), "t").revisions == (Revision(2, ""),)
    assert from_json(entries({"text": "x", "start_s": 2, "end_s": 3, "new": "x"}), "t").revisions == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "t: is no JSON"),
        ("[]", "t: is no transcript"),
        (entries().replace('"version": 1', '"version": 9'), "version 9 of transcripts is not known"),
        (entries().replace('"duration_s": 3', '"duration_s": "3"'), "duration_s is '3'"),
        (entries().replace('"words"', '"wrods"'), "unknown field 'wrods'"),
        (entries({"text": "x", "start_s": 2}), "word 3 misses 'end_s'"),
        (entries({"text": "x", "start_s": 2, "end_s": 3, "nwe": "y"}), "word 3 has an unknown field 'nwe'"),
        (entries({"text": "x", "start_s": 0.5, "end_s": 3}), "'x' at 0.5 s begins before the word before it ends"),
        (entries({"text": "x", "start_s": 3, "end_s": 2}), "said from 3 to 2 s"),
        (entries({"text": "x", "start_s": True, "end_s": 2}), "start_s and end_s are numbers"),
        (entries({"text": "", "start_s": 2, "end_s": 3}), "a word needs letters"),
        (entries({"new": " "}), "nothing is inserted"),
        (entries({"text": "x", "start_s": 2, "end_s": 3, "new": 4}), "new is 4"),
    ],
)
def test_a_transcript_that_is_wrong_is_one_line(text: str, message: str) -> None:
    with pytest.raises(TranscriptError, match=message) as error:
        from_json(text, "t")
    assert "\n" not in str(error.value)


@given(st.one_of(st.text(max_size=200), st.text("0123456789:,.-> <>/\nab", max_size=200)))
def test_no_text_breaks_the_readers(text: str) -> None:
    for read in (from_json, from_subtitles):
        try:
            read(text, "t")
        except Vid2VidError as error:
            assert str(error).startswith("t: ")


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Mr. Smith's", "mister smith's"),
        ("3.5% of $1,200", "three point five percent of one thousand two hundred dollars"),
        ("in 1905, 2007 and 2026", "in nineteen oh five two thousand seven and twenty twenty six"),
        ("21st, 12th, 40th", "twenty first twelfth fortieth"),
        ("agent 007 - U.S.", "agent zero zero seven u s"),
        ("e-mail naïve “don’t”", "e mail naive don't"),
    ],
)
def test_numbers_and_signs_are_spelled_out(written: str, spoken: str) -> None:
    assert " ".join(word for each in words_of(written, "t") for word in each.spoken) == spoken


@pytest.mark.parametrize("text", ["", " - ", "你好"])
def test_a_text_that_nobody_can_say_is_refused(text: str) -> None:
    with pytest.raises(TranscriptError, match=r"t: (is empty|'你好' is not written in English letters)"):
        words_of(text, "t")


@given(st.text("abcdefghijklmnopqrstuvwxyz'", min_size=1, max_size=15).filter(lambda word: word.strip("'")))
def test_any_word_has_a_pronunciation_with_a_vowel(word: str) -> None:
    phones = pronounce(word).split()
    assert phones and set(phones) <= PHONES and any(phone[0] in "AEIOU" for phone in phones)


@pytest.mark.parametrize(("word", "said"), [("knish", "N IH SH"), ("zake", "Z EY K"), ("bbc", "B IY B IY S IY")])
def test_rules_of_letters(word: str, said: str) -> None:
    assert pronounce(word) == said


# --- when words are said ---


@pytest.fixture(scope="module")
def sound() -> Samples:
    return np.concatenate(list(read_sound(AudioSource(VOICE), probe_sound(VOICE), print)))


@pytest.fixture(scope="module")
def aligned(sound: Samples) -> list[Word]:
    alignment = pytest.importorskip("vid2vid_cli.speech.alignment")
    pytest.importorskip("pocketsphinx")
    return [each.word for each in alignment.Aligner("voice").align([sound], words_of(TEXT, "t"))]


def test_words_are_found_where_something_is_heard(aligned: list[Word], sound: Samples) -> None:
    assert [word.text for word in aligned] == TEXT.split()
    loud = np.flatnonzero(np.abs(sound) > 0.02) / 16000
    assert abs(aligned[0].start_s - loud[0]) < 0.06 and abs(aligned[-1].end_s - loud[-1]) < 0.08
    # The only pauses of the text are behind its full stop and its comma.
    pauses = [after.start_s - before.end_s for before, after in pairwise(aligned)]
    assert sorted(np.argsort(pauses)[-2:].tolist()) == [1, 7]
    silent = [np.abs(sound[round(a.end_s * 16000) : round(b.start_s * 16000)]) for a, b in pairwise(aligned)]
    assert np.median(silent[1]) < 0.01


def test_a_long_recording_is_aligned_in_pieces_as_a_short_one_is(aligned: list[Word], sound: Samples) -> None:
    from vid2vid_cli.speech.alignment import PIECE_S, Aligner

    times = 14
    assert len(sound) * times / 16000 > 2 * PIECE_S
    blocks = np.array_split(np.tile(sound, times), 53)
    found = [each.word for each in Aligner("voice").align(blocks, words_of(" ".join([TEXT] * times), "t"))]
    length_s = len(sound) / 16000
    wanted = [word.start_s + length_s * number for number in range(times) for word in aligned]
    away = np.abs(np.array([word.start_s for word in found]) - wanted)
    assert len(found) == len(wanted) and away.mean() < 0.02 and away.max() < 0.15


def test_a_piece_that_ends_within_a_word_loses_none(aligned: list[Word], sound: Samples) -> None:
    from vid2vid_cli.speech.alignment import Aligner

    # Words without any pause between them: there is no good place to end a piece.
    spoken = [sound[round(word.start_s * 16000) : round(word.end_s * 16000)] for word in aligned]
    times = 9
    tight = np.concatenate(spoken * times)
    starts = np.cumsum([0, *(len(each) for each in spoken * times)])[:-1] / 16000
    found = list(Aligner("voice").align(np.array_split(tight, 40), words_of(" ".join([TEXT] * times), "t")))
    away = np.abs(np.array([each.word.start_s for each in found]) - starts)
    assert len(found) == len(starts) and away.mean() < 0.04 and np.mean(away < 0.15) > 0.97


@pytest.mark.parametrize("text", ["Please call Stella and ask her to bring these things", f"{TEXT} {TEXT}", "Hello"])
def test_a_text_that_is_not_what_is_said_is_refused(text: str, aligned: list[Word]) -> None:
    with pytest.raises(TranscriptError, match=r"voice.flac: the text is not what is said there"):
        make_transcript(VOICE, "t.json", TranscriptOptions(text=text))
    assert not list(Path().iterdir())


def test_silence_says_nothing(aligned: list[Word]) -> None:
    ffmpeg("-f", "lavfi", "-i", "anullsrc=r=16000:d=3", "silence.wav")
    with pytest.raises(TranscriptError, match=r"silence.wav: the text is not what is said there"):
        make_transcript("silence.wav", "t.json", TranscriptOptions(text="bin blue at four now"))


def test_unknown_words_are_said_by_their_letters(sound: Samples, aligned: list[Word]) -> None:
    from vid2vid_cli.speech.alignment import Aligner

    odd = words_of(TEXT.replace("painted", "payntid"), "t")
    found = [each.word for each in Aligner("voice").align([sound], odd)]
    assert abs(found[5].start_s - aligned[5].start_s) < 0.05 and found[5].text == "payntid"


def test_phones_fill_their_words(sound: Samples, aligned: list[Word]) -> None:
    from vid2vid_cli.speech.alignment import Aligner

    found = list(Aligner("voice", with_phones=True).align([sound], words_of(TEXT, "t")))
    assert [phone.name for phone in found[1].phones] == ["M", "AO", "R", "N", "IH", "NG"]
    for each in found:
        edges = [edge for phone in each.phones for edge in (phone.start_s, phone.end_s)]
        assert edges == sorted(edges) and abs(edges[0] - each.word.start_s) < 0.02
    # In pieces too.
    pieces = list(
        Aligner("voice", with_phones=True).align(
            np.array_split(np.tile(sound, 8), 9), words_of(" ".join([TEXT] * 8), "t")
        )
    )
    assert all(each.phones for each in pieces) and len(pieces) == 8 * len(found)


# --- the command ---


@pytest.mark.usefixtures("own_signals")
def test_the_command_writes_what_the_name_says(aligned: list[Word], capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("t.json", "t.vtt", "t.srt"):
        assert main(["transcript", str(VOICE), "--text", TEXT, "-o", name, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["words"] == len(aligned)
        assert read_transcript(Path(name)).transcript.text == TEXT
    assert read_transcript(Path("t.json")).transcript.words == tuple(aligned)
    before = Path("t.json").read_bytes()
    assert main(["transcript", str(VOICE), "--text", TEXT, "-o", "t.json"]) == 1
    assert "exists already" in capsys.readouterr().err and Path("t.json").read_bytes() == before
    assert main(["transcript", str(VOICE), "--text-file", "t.srt", "-o", "t.json", "--force", "-q"]) == 0


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(TranscriptError, match=r"needs pocketsphinx; install it: pip install 'vid2vid\[transcript\]'"):
        make_transcript(VOICE, "t.json", TranscriptOptions(text=TEXT))
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(TranscriptError, match=r"pip install 'vid2vid\[recognise\]'; or give what is said with --text"):
        make_transcript(VOICE, "t.json")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("t.txt", TranscriptOptions(text=TEXT), r"is .json, .srt or .vtt"),
        ("t.json", TranscriptOptions(text=TEXT, text_file="t"), "exclude each other"),
    ],
)
def test_contradictions_are_refused(name: str, options: TranscriptOptions, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_transcript(VOICE, name, options)


@settings(max_examples=30)
@given(st.binary(max_size=60))
def test_files_that_are_no_text_are_one_line(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("t") / "t.json"
    path.write_bytes(data)
    with pytest.raises(TranscriptError, match=r"t.json: is no"):
        read_transcript(path)
