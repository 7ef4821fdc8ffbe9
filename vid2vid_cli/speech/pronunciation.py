"""How a word that no dictionary has is probably said: rules from letters to sounds, in the phones of ARPAbet."""

from __future__ import annotations

# The longest spelling that fits is taken. `^` and `$` are the ends of a word, `V` any vowel and `C` any consonant
# after it, which are looked at and not used up. Rules stand in their order, the more particular ones first.
_RULES: tuple[tuple[str, str], ...] = (
    *(("^kn", "N"), ("^wr", "R"), ("^ps", "S"), ("^gn", "N"), ("^wh", "W"), ("^x", "Z"), ("^y", "Y")),
    *(("tion", "SH AH N"), ("sion", "ZH AH N"), ("cious", "SH AH S"), ("tious", "SH AH S"), ("ture$", "CH ER")),
    *(("ough", "AO"), ("augh", "AO"), ("eigh", "EY"), ("igh", "AY"), ("tch", "CH"), ("dge", "JH"), ("sch", "SH")),
    *(("ch", "CH"), ("sh", "SH"), ("th", "TH"), ("ph", "F"), ("gh", "G"), ("ck", "K"), ("ng$", "NG"), ("nk", "NG K")),
    *(("qu", "K W"), ("wh", "W"), ("mb$", "M"), ("sc:e", "S"), ("sc:i", "S"), ("ing$", "IH NG"), ("ng", "NG G")),
    *(("ed$", "D"), ("es$", "Z"), ("le$", "AH L"), ("ous$", "AH S"), ("ai", "EY"), ("ay", "EY"), ("au", "AO")),
    *(("aw", "AO"), ("ar", "AA R"), ("air", "EH R"), ("are$", "EH R"), ("ee", "IY"), ("ea", "IY"), ("ear", "IH R")),
    *(("eer", "IH R"), ("ei", "EY"), ("ey$", "IY"), ("eu", "Y UW"), ("ew", "Y UW"), ("er", "ER"), ("ir", "ER")),
    *(("ie$", "IY"), ("ie", "IY"), ("oa", "OW"), ("oi", "OY"), ("oy", "OY"), ("oo", "UW"), ("or", "AO R")),
    *(("oor", "AO R"), ("our", "AW R"), ("ou", "AW"), ("ow$", "OW"), ("ow", "AW"), ("oe$", "OW"), ("ue$", "UW")),
    *(("ui", "UW"), ("ur", "ER"), ("ia", "IY AH"), ("io", "IY OW"), ("eo", "IY OW")),
    *(("a:Ce$", "EY"), ("e:Ce$", "IY"), ("i:Ce$", "AY"), ("o:Ce$", "OW"), ("u:Ce$", "UW"), ("y:Ce$", "AY")),
    *(("e$", ""), ("y$", "IY"), ("i$", "IY"), ("o$", "OW"), ("a$", "AH"), ("u$", "UW")),
    *(("c:e", "S"), ("c:i", "S"), ("c:y", "S"), ("g:e", "JH"), ("g:i", "JH"), ("g:y", "JH"), ("x", "K S")),
    *(("a", "AE"), ("e", "EH"), ("i", "IH"), ("o", "AA"), ("u", "AH"), ("y", "IH"), ("b", "B"), ("c", "K")),
    *(("d", "D"), ("f", "F"), ("g", "G"), ("h", "HH"), ("j", "JH"), ("k", "K"), ("l", "L"), ("m", "M")),
    *(("n", "N"), ("p", "P"), ("q", "K"), ("r", "R"), ("s", "S"), ("t", "T"), ("v", "V"), ("w", "W"), ("z", "Z")),
)
_NAMES = {
    **{"a": "EY", "b": "B IY", "c": "S IY", "d": "D IY", "e": "IY", "f": "EH F", "g": "JH IY", "h": "EY CH"},
    **{"i": "AY", "j": "JH EY", "k": "K EY", "l": "EH L", "m": "EH M", "n": "EH N", "o": "OW", "p": "P IY"},
    **{"q": "K Y UW", "r": "AA R", "s": "EH S", "t": "T IY", "u": "Y UW", "v": "V IY", "x": "EH K S"},
    **{"w": "D AH B AH L Y UW", "y": "W AY", "z": "Z IY"},
}
_VOWELS = frozenset("aeiouy")
_VOWEL_PHONES = frozenset(["AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"])


def pronounce(word: str) -> str:
    """Return phones for a word of letters a to z and apostrophes, with spaces between them.

    A word without a vowel is spelled: bbc. The rules are right for most regular words, and near for the rest.
    """
    word = word.replace("'", "")
    if not _VOWELS & set(word):
        return " ".join(_NAMES[letter] for letter in word)
    phones: list[str] = []
    place = 0
    while place < len(word):
        used, said = _best_rule(word, place)
        phones += said.split()
        place += used
    phones = [phone for index, phone in enumerate(phones) if index == 0 or phone != phones[index - 1]]  # bb, ll, ss
    if not _VOWEL_PHONES & set(phones):  # the only vowel was a silent one
        phones.append("IY")
    return " ".join(phones)


def _best_rule(word: str, place: int) -> tuple[int, str]:
    """Return how many letters the rule with the longest spelling uses, and what it says."""
    fitting = [(len(_letters(spelling)), spelling, said) for spelling, said in _RULES if _fits(spelling, word, place)]
    _, spelling, said = max(fitting, key=lambda rule: rule[0])
    return len(spelling.split(":")[0].strip("^$")), said


def _letters(spelling: str) -> str:
    return spelling.replace(":", "")


def _fits(spelling: str, word: str, place: int) -> bool:
    if spelling[0] == "^" and place:
        return False
    wanted = _letters(spelling).strip("^$")
    found = word[place : place + len(wanted)]
    if len(found) < len(wanted) or (spelling[-1] == "$" and place + len(wanted) != len(word)):
        return False
    return all(
        letter not in _VOWELS if sign == "C" else letter == sign for sign, letter in zip(wanted, found, strict=True)
    )
