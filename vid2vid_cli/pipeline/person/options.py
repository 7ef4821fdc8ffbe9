"""The options of `personalize`."""

from __future__ import annotations

from dataclasses import dataclass

from vid2vid_cli.pipeline.options import LimitOptions, option


@dataclass(frozen=True)
class PersonalizeOptions(LimitOptions):
    """What is kept of a person, besides the files and the output."""

    same_person: bool = option(
        False, "Take all faces for the person's, whoever they look like.", "--same-person", panel="Person"
    )
    views: int = option(30, "How many views to keep at most, 1 to 64.", panel="Person")
    max_size: float = option(8.0, "How large the file may become, in MB.", panel="Person", metavar="MB")
    threads: int = option(0, "CPU threads of the networks; 0 leaves one core to decoding and encoding.", panel="Engine")
    force: bool = option(False, "Overwrite an existing output.", "--force", panel="Output")
