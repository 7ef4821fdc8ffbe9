"""The options of the commands `vid2vid weights pull` and `convert`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vid2vid_cli.pipeline.options import option

Via = Literal["auto", "hub", "url"]
StoredDType = Literal["float32", "float16"]


@dataclass(frozen=True)
class PullOptions:
    """The options of `weights pull`, besides a name."""

    accept_licence: bool = option(
        False, "Accept a licence that restricts how the weights may be used.", "--accept-licence"
    )
    trust_unverified: bool = option(
        False, "Accept a file that has no published sha256 to check it against.", "--trust-unverified"
    )
    mirror: str | None = option(
        None, "Download from MIRROR/NAME/FILE instead; default: $VID2VID_MIRROR.", "--mirror", panel="Network"
    )
    via: Via = option(
        "auto",
        "hub: use huggingface_hub and its cache; url: download directly; auto: hub if it is installed.",
        panel="Network",
    )
    force: bool = option(False, "Download again even if the files are here and verified.", "--force")


@dataclass(frozen=True)
class ConvertOptions:
    """The options of `weights convert`, besides its two files."""

    dtype: StoredDType = option(
        "float32", "How to store the weights; float16 halves the file, small tensors stay float32."
    )
    force: bool = option(False, "Overwrite an existing output.", "--force")
