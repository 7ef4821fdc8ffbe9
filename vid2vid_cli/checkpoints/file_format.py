"""Tell from its first bytes what a file that should hold weights really is. Nothing in it is run."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

HEAD_BYTES = 512
MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors library
ARCHIVES = (b"\x1f\x8b", b"7z\xbc\xaf", b"BZh", b"\xfd7zXZ")
OLDEST_PICKLES = (b"c", b"(", b"}", b"]", b"I")  # opcodes with which pickles of protocols 0 and 1 begin
Format = Literal["safetensors", "torch zip", "torch pickle"]


class NotWeightsError(Exception):
    """The file does not hold weights. The text says what it is instead, as part of a sentence. cure: how to fix it."""

    def __init__(self, what: str, cure: str = "download the file again") -> None:
        super().__init__(what)
        self.cure = cure


def format_of(path: Path) -> Format:
    """Return the format of a file of weights. NotWeightsError for anything else, OSError if it cannot be read."""
    if not path.is_file():
        raise NotWeightsError("not a regular file")
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    found = weights_format(head)
    if found is None:
        raise NotWeightsError(describe_head(head))
    if found == "safetensors":
        _check_length(head, path.stat().st_size)
    # Someone may have renamed it to get it past people who trust only safetensors.
    elif path.suffix.lower() == ".safetensors":
        raise NotWeightsError(
            "a pickle under the name of a safetensors file, which vid2vid does not open for safety",
            "PyTorch checkpoints end in .pth, .pth.tar or .pt",
        )
    return found


def weights_format(head: bytes) -> Format | None:
    """Return the format of weights with these first bytes, or None if they are not weights."""
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < MAX_HEADER_BYTES:
        return "safetensors"
    if head.startswith(b"PK\x03\x04"):
        return "torch zip"
    if len(head) > 1 and head[0] == 0x80 and 2 <= head[1] <= 5:  # opcode PROTO and the protocol's version
        return "torch pickle"
    return None


def describe_head(head: bytes) -> str:
    """Say what a file with these first bytes seems to be, as part of a sentence."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    # The first that holds counts, so the certain ones come first.
    signs = (
        (not head, "the file is empty"),
        (text.startswith(b"version https://git-lfs"), "a Git LFS pointer, not the weights themselves"),
        (text[:1] == b"<", "an HTML or XML page, not weights"),
        (text[:1] in (b"{", b"["), "a JSON text, such as a server's answer, not weights"),
        (head[257:262] == b"ustar" or head.startswith(ARCHIVES), "an archive, not weights; unpack it first"),
        (
            head[:1] in OLDEST_PICKLES and b"\n" in head,
            "damaged, text, or a pickle of the oldest kind, which vid2vid does not open for safety",
        ),
        (all(32 <= byte < 127 or byte in b"\t\r\n\f" for byte in head), "damaged, or text, not weights"),
    )
    return next(
        (description for applies, description in signs if applies),
        "damaged, or in no format of weights that vid2vid reads",
    )


def _check_length(head: bytes, size: int) -> None:
    # The length of the header takes 8 bytes of its own.
    if 8 + int.from_bytes(head[:8], "little") > size:
        raise NotWeightsError("damaged: it ends within its own header, as after a broken download")
