"""The options of `serve`, and the bounds that follow from them."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from vid2vid_cli.errors import UsageError, Vid2VidError
from vid2vid_cli.pipeline.options import EngineOptions, option

LEAST_TOKEN = 16
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class ServeOptions(EngineOptions):
    """The options of `serve`. Only the programs of this machine reach it, unless `host` says otherwise."""

    port: int = option(8188, "Port to listen on; 0 takes a free one.", panel="Server")
    host: str = option("127.0.0.1", "Address to listen on; any but this machine's own needs --token.", panel="Server")
    token: str | None = option(
        None, "Secret that opens the page, at least 16 characters; default: a new one.", panel="Server"
    )
    certificate: str | None = option(None, "Certificate (PEM) for HTTPS, which cameras need elsewhere.", panel="Server")
    key: str | None = option(None, "Private key (PEM) of the certificate.", panel="Server")
    jobs: int = option(1, "How many jobs are rendered at a time.", "--jobs", "-j", panel="Server")
    keep: str | None = option(
        None, "Folder that keeps the results; default: gone when the server ends.", panel="Server"
    )
    cluster: str | None = option(None, "Run the jobs on Ray: auto, or the address of its head.", panel="Server")
    sockets: int = option(4, "How many live pictures there may be at a time.", panel="Limits")
    max_upload: int = option(500, "Largest file that is taken, in megabytes.", panel="Limits")
    max_duration: float = option(600.0, "Longest video or sound that is taken, in seconds.", panel="Limits")
    max_pixels: int = option(40_000_000, "Refuse pictures and video frames with more pixels than this.", panel="Limits")

    def __post_init__(self) -> None:
        """Raise UsageError for options that make no sense, or that would open the server to everybody."""
        if not 0 <= self.port <= 65535:
            raise UsageError(f"--port {self.port}: write a number from 0 to 65535")
        for name, most in (("jobs", 64), ("sockets", 64), ("max_upload", 100_000), ("max_pixels", 10**9)):
            if not 1 <= getattr(self, name) <= most:
                raise UsageError(f"--{name.replace('_', '-')} {getattr(self, name)}: write a number from 1 to {most}")
        if not 0 < self.max_duration <= 86400:
            raise UsageError(f"--max-duration {self.max_duration:g}: write seconds, at most 86400")
        if self.token is not None and (len(self.token) < LEAST_TOKEN or not self.token.isascii()):
            raise UsageError(f"--token: write at least {LEAST_TOKEN} ASCII characters, or leave it out for a new one")
        if not self.is_private and self.token is None:
            raise UsageError(f"--host {self.host}: others can reach it; choose a secret with --token")
        if (self.certificate is None) != (self.key is None):
            raise UsageError("--certificate and --key: give both, or neither")

    @property
    def is_private(self) -> bool:
        """Whether only programs of this machine can reach the server."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:  # a name
            return False

    @property
    def is_encrypted(self) -> bool:
        """Whether the server speaks HTTPS."""
        return self.certificate is not None

    def check_files(self) -> None:
        """Raise a one-line error for a certificate or a folder that cannot be used."""
        for name in ("certificate", "key"):
            value = getattr(self, name)
            if value is not None and not Path(value).is_file():
                raise UsageError(f"--{name} {value}: no such file; check the name")
        if self.keep is not None:
            try:
                Path(self.keep).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise Vid2VidError(f"--keep {self.keep}: cannot be created: {error.strerror}") from error


@dataclass(frozen=True)
class Limits:
    """What the server takes before it says no. All are for all clients together but those of one file or message."""

    upload_bytes: int
    pixels: int
    duration_s: float
    sockets: int
    jobs: int = 100
    files: int = 200
    uploads: int = 8
    connections: int = 200
    field_bytes: int = 100_000
    message_bytes: int = 4_000_000
    live_pixels: int = 4_000_000
    longest_px: int = 4096
    head_s: float = 8.0
    """How long a client may take for the head of a request."""
    part_s: float = 12.0
    """How long a client may be silent within a body, or not take what is sent."""
    least_bytes_per_s: int = 20_000
    """How slow an upload may be, after its first minute."""
    job_s: float = 7200.0

    @classmethod
    def of(cls, options: ServeOptions) -> Limits:
        """Return the limits that the options name, with the usual ones."""
        return cls(options.max_upload * MEGABYTE, options.max_pixels, options.max_duration, options.sockets)

    @property
    def total_bytes(self) -> int:
        """Return how many bytes all uploaded files may take together, and all results."""
        return 10 * self.upload_bytes
