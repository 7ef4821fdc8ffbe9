"""The named expressions: what phones record and artists know, with what each one does.

The names are those of Apple's ARKit without the tongue, with `_L` and `_R` for the person's left and right; some that
ARKit has once are split into both sides here.
"""

from __future__ import annotations

import difflib

EXPRESSIONS = {
    "browDown": "pull the brow down",
    "browInnerUp": "raise the inner end of the brow",
    "browOuterUp": "raise the outer end of the brow",
    "cheekPuff": "blow up the cheek",
    "cheekSquint": "raise the cheek under the eye",
    "eyeBlink": "shut the eye",
    "eyeLookDown": "look down: this eye's half of the gaze",
    "eyeLookIn": "look inwards: this eye's half of the gaze",
    "eyeLookOut": "look outwards: this eye's half of the gaze",
    "eyeLookUp": "look up: this eye's half of the gaze",
    "eyeSquint": "narrow the eye",
    "eyeWide": "open the eye wide",
    "jawForward": "push the jaw forward",
    "jawLeft": "push the jaw to the person's left",
    "jawOpen": "open the jaw, and the mouth with it",
    "jawRight": "push the jaw to the person's right",
    "mouthClose": "keep lips closed over an open jaw, as far as jawOpen",
    "mouthDimple": "draw the corner of the mouth back",
    "mouthFrown": "pull the corner of the mouth down",
    "mouthFunnel": "round the open lips, as in 'oh'",
    "mouthLeft": "move the mouth to the person's left",
    "mouthLowerDown": "pull the lower lip down",
    "mouthPress": "press the lips together",
    "mouthPucker": "pout, as for a kiss",
    "mouthRight": "move the mouth to the person's right",
    "mouthRollLower": "roll the lower lip inwards",
    "mouthRollUpper": "roll the upper lip inwards",
    "mouthShrugLower": "push the lower lip and the chin up",
    "mouthShrugUpper": "push the upper lip up",
    "mouthSmile": "smile with the corner of the mouth",
    "mouthStretch": "stretch the corner of the mouth sideways",
    "mouthUpperUp": "raise the upper lip",
    "noseSneer": "wrinkle the nose",
}
"""What each expression does; those of `SIDED` are there twice, with _L and _R."""
SIDED = frozenset(
    {
        *("browDown", "browInnerUp", "browOuterUp", "cheekPuff", "cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookIn"),
        *("eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide", "mouthDimple", "mouthFrown", "mouthLowerDown"),
        *("mouthPress", "mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer"),
    }
)
NAMES = tuple(f"{name}{side}" for name in EXPRESSIONS for side in (("_L", "_R") if name in SIDED else ("",)))
"""All 53 names, in order."""


def describe(name: str) -> str:
    """Return what an expression does, in plain English."""
    base, _, side = name.partition("_")
    where = {"L": ", on the person's left", "R": ", on the person's right"}.get(side, "")
    return EXPRESSIONS[base] + where


def names_meant(text: str) -> tuple[str, ...]:
    """Return the expressions that a text names: one, or both sides for a name without its side; () for none.

    ARKit's own endings, as in mouthSmileLeft, are understood too.
    """
    name = text[:1].lower() + text[1:]
    for word, side in (("Left", "_L"), ("Right", "_R")):
        if name not in EXPRESSIONS and name.endswith(word):
            name = name.removesuffix(word) + side
    if name in SIDED:
        return f"{name}_L", f"{name}_R"
    return (name,) if name in NAMES else ()


def nearest_name(text: str) -> str | None:
    """Return the name that is written most like a text; None if none is."""
    known = {name.lower(): name for name in (*NAMES, *EXPRESSIONS)}
    found = difflib.get_close_matches(text.lower(), known, 1)
    return known[found[0]] if found else None
