"""The published checkpoints that vid2vid knows by name: their files, sizes, hashes, addresses and licences.

A file is pinned by its sha256. The revisions of the repositories are not known here, so the branch `main` is used; a
file that has changed there has another hash, and is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_CHECKPOINT = "compact"  # comes with the package


@dataclass(frozen=True)
class HubAddress:
    """The place of a file on the Hugging Face hub. revision: a branch, tag or commit of the repository."""

    repository: str
    path: str
    revision: str = "main"


@dataclass(frozen=True)
class CheckpointFile:
    """One file of a checkpoint.

    path: inside the checkpoint's own folder. bytes, sha256: None if unknown. hub, url: where to download it, tried in
    this order; both None if it has no address that a program could use.
    """

    path: str
    bytes: int | None
    sha256: str | None
    hub: HubAddress | None = None
    url: str | None = None


@dataclass(frozen=True)
class Licence:
    """The terms under which weights may be used. must_be_accepted: whether they restrict that in any way."""

    name: str
    must_be_accepted: bool = False


@dataclass(frozen=True)
class Checkpoint:
    """A published checkpoint. image_size: side of the rendered pictures in pixels. note: what users should know."""

    name: str
    family: str
    files: tuple[CheckpointFile, ...]
    licence: Licence
    image_size: int
    note: str = ""

    @property
    def is_embedded(self) -> bool:
        """Whether it comes with the package."""
        return self.name == DEFAULT_CHECKPOINT

    @property
    def bytes(self) -> int | None:
        """The total size of all files; None if one is unknown."""
        sizes = [file.bytes for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def is_pinned(self) -> bool:
        """Whether the sha256 of every file is known."""
        return all(file.sha256 is not None for file in self.files)


_MIT = Licence("MIT")
_NON_COMMERCIAL = Licence("treat as CC BY-NC 4.0: no commercial use, name the authors", must_be_accepted=True)
# Its authors publish the file without a licence of its own, so it may be used on the strictest reading only.
_UNCLEAR = Licence("unclear: its authors name none for this file; treat as CC BY-NC 4.0", must_be_accepted=True)
_SADTALKER_RELEASE = "https://github.com/OpenTalker/SadTalker/releases/download/v0.0.2"


def _liveportrait_file(path: str, size: int, sha256: str) -> CheckpointFile:
    return CheckpointFile(path, size, sha256, HubAddress("KwaiVGI/LivePortrait", f"liveportrait/{path}"))


def _sadtalker(size_px: int, sha256: str) -> Checkpoint:
    # Both files hold the same networks, so they have the same number of bytes.
    path = f"SadTalker_V0.0.2_{size_px}.safetensors"
    return Checkpoint(
        f"sadtalker-{size_px}",
        "facevid2vid",
        (CheckpointFile(path, 725066984, sha256, HubAddress("vinthony/SadTalker-V002rc", path)),),
        _UNCLEAR,
        size_px,
        "renders, but cannot read motion from pictures: needs a motion file, or a facevid2vid file beside it",
    )


# Sizes and hashes are those of the files as published; a file without them cannot be checked.
CATALOGUE = (
    Checkpoint(
        DEFAULT_CHECKPOINT, "compact", (CheckpointFile("compact.safetensors", None, None),), Licence("Apache-2.0"), 256
    ),
    Checkpoint(
        "facevid2vid",
        "facevid2vid",
        (
            CheckpointFile(
                "facevid2vid_00189-model.pth.tar",
                2112619148,
                "fbad01d46f0510276dc4521322dde6824a873a4222cd0740c85762e7067ea71d",
                HubAddress("vinthony/SadTalker", "facevid2vid_00189-model.pth.tar"),
                f"{_SADTALKER_RELEASE}/facevid2vid_00189-model.pth.tar",
            ),
        ),
        _NON_COMMERCIAL,
        256,
        "vid2vid weights convert makes 350 MB of it",
    ),
    Checkpoint(
        "liveportrait",
        "liveportrait",
        (
            _liveportrait_file(
                "base_models/appearance_feature_extractor.pth",
                3387959,
                "5279bb8654293dbdf327030b397f107237dd9212fb11dd75b83dfb635211ceb5",
            ),
            _liveportrait_file(
                "base_models/motion_extractor.pth",
                112545506,
                "251e6a94ad667a1d0c69526d292677165110ef7f0cf0f6d199f0e414e8aa0ca5",
            ),
            _liveportrait_file(
                "base_models/spade_generator.pth",
                221813590,
                "4780afc7909a9f84e24c01d73b31a555ef651521a1fe3b2429bd04534d992aee",
            ),
            _liveportrait_file(
                "base_models/warping_module.pth",
                182180086,
                "2f61a6f265fe344f14132364859a78bdbbc2068577170693da57fb96d636e282",
            ),
            _liveportrait_file(
                "retargeting_models/stitching_retargeting_module.pth",
                2393098,
                "3652d5a3f95099141a56986aaddec92fadf0a73c87a20fac9a2c07c32b28b611",
            ),
        ),
        _MIT,
        512,
    ),
    Checkpoint(
        "fomm",
        "fomm",
        (CheckpointFile("vox-cpk.pth.tar", None, None),),
        _MIT,
        256,
        "its authors give links for people only, and no hash of it is known: a download cannot be checked",
    ),
    _sadtalker(256, "c211f5d6de003516bf1bbda9f47049a4c9c99133b1ab565c6961e5af16477bff"),
    _sadtalker(512, "0e063f7ff5258240bdb0f7690783a7b1374e6a4a81ce8fa33456f4cd49694340"),
)


def named(name: str) -> Checkpoint | None:
    """Return the checkpoint of this name, or None."""
    return next((checkpoint for checkpoint in CATALOGUE if checkpoint.name == name), None)
