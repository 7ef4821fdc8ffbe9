"""From a text as it is written to words as they are said in English: numbers, signs and abbreviations spelled out."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from vid2vid_cli.errors import TranscriptError

_ONES = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
]
_TENS = ["-", "-", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_POWERS = ((10**9, "billion"), (10**6, "million"), (10**3, "thousand"), (100, "hundred"))
_LARGEST = 10**12
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_SIGNS = {"&": " and ", "%": " percent ", "+": " plus ", "@": " at ", "=": " equals ", "°": " degrees "}
_MONEY = {"$": "dollars", "£": "pounds", "€": "euros"}
_SHORT = {"mr.": "mister", "mrs.": "missus", "dr.": "doctor", "vs.": "versus", "etc.": "etcetera", "st.": "saint"}
_NUMBER = re.compile(r"(\d+(?:,\d{3})+|\d+)(?:\.(\d+))?(st|nd|rd|th)?")
_APOSTROPHES = {ord(mark): "'" for mark in "’‘ʼ`"}


@dataclass(frozen=True)
class WrittenWord:
    """A word as it is written, and the words that are said for it, in lower case."""

    text: str
    spoken: tuple[str, ...]


def words_of(text: str, name: str) -> list[WrittenWord]:
    """Divide a text into words. TranscriptError if there are none, or one that English cannot say.

    name: of the text, for the message.
    """
    words = [WrittenWord(written, spoken) for written in text.split() if (spoken := _spoken(written, name))]
    if not words:
        raise TranscriptError(f"{name}: is empty; write the words that are said")
    return words


def _spoken(written: str, name: str) -> tuple[str, ...]:
    """Return what is said for a word; nothing for a dash or another mark that stands alone."""
    text = unicodedata.normalize("NFKC", written).translate(_APOSTROPHES).lower()
    text = _SHORT.get(text, text)
    if text[:1] in _MONEY and text[1:2].isdigit():
        text = f"{text[1:]} {_MONEY[text[0]]}"
    for sign, said in _SIGNS.items():
        text = text.replace(sign, said)
    text = _NUMBER.sub(lambda found: f" {_number(found)} ", text)
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    foreign = next((letter for letter in plain if letter.isalpha() and not letter.isascii()), None)
    if foreign is not None:
        raise TranscriptError(f"{name}: {written!r} is not written in English letters; texts are English only")
    # What is left but letters divides words: e-mail, either/or.
    parts = [part.strip("'") for part in re.split(r"[^a-z']+", _initials(plain))]
    return tuple(part for part in parts if part)


def _initials(text: str) -> str:
    """Spell letters with points between them one by one: u.s. is u s."""
    return re.sub(r"\b(?:[a-z]\.){2,}", lambda found: found[0].replace(".", " "), text)


def _number(found: re.Match[str]) -> str:
    digits, decimals, ending = found[1].replace(",", ""), found[2], found[3]
    is_year = "," not in found[1] and not decimals and not ending and len(digits) == 4
    said = _year(int(digits)) if is_year else _cardinal(digits)
    if decimals:
        return f"{said} point {' '.join(_ONES[int(digit)] for digit in decimals)}"
    return _ordinal(said) if ending else said


def _cardinal(digits: str) -> str:
    # With a zero in front, or too long to be a quantity: a code, read digit by digit.
    if int(digits) >= _LARGEST or (len(digits) > 1 and digits[0] == "0"):
        return " ".join(_ONES[int(digit)] for digit in digits)
    return _quantity(int(digits))


def _quantity(number: int) -> str:
    if number < 20:
        return _ONES[number]
    for power, name in _POWERS:
        if number >= power:
            rest = number % power
            return f"{_quantity(number // power)} {name}" + (f" {_quantity(rest)}" if rest else "")
    return _TENS[number // 10] + (f" {_ONES[number % 10]}" if number % 10 else "")


def _year(number: int) -> str:
    century, rest = divmod(number, 100)
    if not 11 <= century <= 20 or (century % 10 == 0 and rest < 10):
        return _quantity(number)
    if not rest:
        return f"{_quantity(century)} hundred"
    return f"{_quantity(century)} {'oh ' if rest < 10 else ''}{_quantity(rest)}"


def _ordinal(said: str) -> str:
    *before, last = said.split()
    if last not in _ORDINALS:
        last = last[:-1] + "ieth" if last.endswith("y") else f"{last}th"
    return " ".join([*before, _ORDINALS.get(last, last)])
