"""What a user wants to be said differently: words of a transcript that are replaced, deleted or inserted."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from vid2vid_cli.errors import UsageError
from vid2vid_cli.speech.transcript import RevisedTranscript, Word

_NUMBERED = re.compile(r"(.*)#(\d+)")
MOST_TIMES_SHOWN = 6


@dataclass(frozen=True)
class Change:
    """Words first to last (exclusive) of a transcript give way to a text; "" deletes. first == last inserts."""

    first: int
    last: int
    text: str


@dataclass(frozen=True)
class Wishes:
    """Changes as a user writes them: OLD=NEW, WORD, and AFTER=TEXT. OLD may be several words, or word#2."""

    replace: Sequence[str] = ()
    delete: Sequence[str] = ()
    insert: Sequence[str] = ()


def find_changes(revised: RevisedTranscript, wishes: Wishes) -> list[Change]:
    """Return what changes, in order. UsageError for words that are not there, are not unique, or change twice."""
    words = revised.transcript.words
    changes = [_revised(each.word, each.text, is_insertion=each.is_insertion) for each in revised.revisions]
    for wish in wishes.replace:
        old, new = _parted(wish, "--replace", "OLD=NEW")
        if not new:
            raise UsageError(f"--replace {wish}: nothing stands behind the =; use --delete, or write the new words")
        first, last = find_words(words, old, f"--replace {wish}")
        changes.append(Change(first, last, new))
    for wish in wishes.delete:
        changes.append(Change(*find_words(words, wish, f"--delete {wish}"), ""))
    for wish in wishes.insert:
        after, new = _parted(wish, "--insert", "AFTER=TEXT")
        if not new:
            raise UsageError(f"--insert {wish}: nothing stands behind the =; write the words to insert")
        place = find_words(words, after, f"--insert {wish}")[1] if after else 0
        changes.append(Change(place, place, new))
    changes.sort(key=lambda change: (change.first, change.last))
    for one, next_one in itertools.pairwise(changes):
        if next_one.first < one.last or (one.first, one.last) == (next_one.first, next_one.last):
            where = words[min(next_one.first, len(words) - 1)].text
            raise UsageError(f"two changes meet at {where!r}; write one change for these words")
    if len(words) == sum(change.last - change.first for change in changes if not change.text):
        raise UsageError("every word is deleted; leave at least one")
    return changes


def _revised(word: int, text: str, *, is_insertion: bool) -> Change:
    return Change(word + 1, word + 1, text) if is_insertion else Change(word, word + 1, text)


def _parted(wish: str, option: str, form: str) -> tuple[str, str]:
    before, found, after = wish.partition("=")
    if not found or (option == "--replace" and not before.strip()):
        raise UsageError(f"{option} {wish}: write {form}")
    return before.strip(), after.strip()


def find_words(words: Sequence[Word], wanted: str, option: str) -> tuple[int, int]:
    """Return where words stand: the first, and behind the last. UsageError if nowhere, or at several places."""
    numbered = _NUMBERED.fullmatch(wanted.strip())
    text, number = (numbered[1], int(numbered[2])) if numbered else (wanted, None)
    parts = [part for each in text.split() if (part := plain(each))]
    if not parts:
        raise UsageError(f"{option}: names no word; write one that is said")
    said = [plain(word.text) for word in words]
    places = [index for index in range(len(said) - len(parts) + 1) if said[index : index + len(parts)] == parts]
    if not places:
        raise UsageError(f"{option}: {text!r} is not said; vid2vid transcript shows what is")
    if number is None and len(places) > 1:
        times = ", ".join(f"{words[place].start_s:.2f} s" for place in places[:MOST_TIMES_SHOWN])
        raise UsageError(f"{option}: {text!r} is said {len(places)} times ({times}); choose with {text}#2")
    if number is not None and not 1 <= number <= len(places):
        times = "once" if len(places) == 1 else f"{len(places)} times"
        raise UsageError(f"{option}: {text!r} is said only {times}")
    place = places[(number or 1) - 1]
    return place, place + len(parts)


def plain(text: str) -> str:
    """Return a word in lower case without the marks around it, to compare it with others."""
    return re.sub(r"^\W+|\W+$", "", text.lower()).replace("’", "'")


def describe(changes: Sequence[Change], words: Sequence[Word]) -> list[str]:
    """Say of each change which words it is of, for the metadata of the output."""
    parts = []
    for change in changes:
        old = " ".join(word.text for word in words[change.first : change.last])
        if not change.text:
            parts.append(f"deleted '{old}'")
        elif change.first == change.last:
            after = f"after '{words[change.first - 1].text}'" if change.first else "at the beginning"
            parts.append(f"inserted '{change.text}' {after}")
        else:
            parts.append(f"replaced '{old}' by '{change.text}'")
        if change.first < len(words):
            parts[-1] += f" at {words[change.first].start_s:.2f} s"
    return parts
