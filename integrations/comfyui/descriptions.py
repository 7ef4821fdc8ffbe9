"""What each node is called, takes and gives: written once, for both of ComfyUI's schemas."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

CATEGORY = "vid2vid"
PERSON = "VID2VID_PERSON"
"""The type of a loaded person; only these nodes make and take it."""
REGIONS = ("all", "pose", "expression", "mouth", "eyes")


@dataclass(frozen=True)
class Input:
    """One input. kind: ComfyUI's name of its type, COMBO for one of `choices`. low, high, step: of a FLOAT."""

    name: str
    kind: str
    tooltip: str
    default: Any = None
    low: float = 0.0
    high: float = 1.0
    step: float = 0.05
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Output:
    """One output. kind: ComfyUI's name of its type."""

    name: str
    kind: str


@dataclass(frozen=True)
class Node:
    """One node. work: the function of `work.py` that takes the inputs by their names and returns the output."""

    identifier: str
    title: str
    description: str
    inputs: tuple[Input, ...]
    output: Output
    work: str

    def run(self, **given: Any) -> Any:
        """Do the work of the node, and import what that takes."""
        return getattr(import_module(".work", __package__), self.work)(**given)


def _angle(name: str, what: str) -> Input:
    return Input(name, "FLOAT", f"Degrees to {what}.", 0.0, -60.0, 60.0, 1.0)


_PERSON = Input("person", PERSON, "Who is shown, from Load Person.")

NODES = (
    Node(
        "Vid2VidLoadPerson",
        "Load Person (vid2vid)",
        "Take a portrait and the checkpoint that moves it.",
        (
            Input("image", "IMAGE", "A portrait; of several pictures, the first."),
            Input("checkpoint", "STRING", "Name, file or folder, as -c of the command takes it.", "compact"),
        ),
        Output("person", PERSON),
        "load_person",
    ),
    Node(
        "Vid2VidReenact",
        "Reenact (vid2vid)",
        "Move a person like the frames of a clip.",
        (
            _PERSON,
            Input("driving", "IMAGE", "The frames of a clip, in order; a single one gives its pose."),
            Input("fps", "FLOAT", "Frames per second of the clip.", 25.0, 1.0, 240.0, 0.01),
            Input("region", "COMBO", "Which part of the motion is used.", "all", choices=REGIONS),
            Input("strength", "FLOAT", "0 none, 1 as driven, 2 twice as much.", 1.0, 0.0, 3.0),
            Input("smooth", "FLOAT", "Smoothing against jitter.", 0.3, 0.0, 10.0),
        ),
        Output("images", "IMAGE"),
        "reenact",
    ),
    Node(
        "Vid2VidRotate",
        "Rotate (vid2vid)",
        "Turn a person's head, or change the expression.",
        (
            _PERSON,
            _angle("yaw", "turn the face to the viewer's right"),
            _angle("pitch", "lift the chin"),
            _angle("roll", "tilt the head clockwise"),
            Input("expression", "STRING", "Such as jawOpen=0.4,mouthSmile_L=0.5; `vid2vid controls` lists them.", ""),
        ),
        Output("image", "IMAGE"),
        "rotate",
    ),
    Node(
        "Vid2VidMatte",
        "Person Matte (vid2vid)",
        "Tell people from what is behind them.",
        (Input("image", "IMAGE", "Any pictures."),),
        Output("mask", "MASK"),
        "matte",
    ),
)
