"""The options of a batch besides those of `reenact`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vid2vid_cli.errors import UsageError
from vid2vid_cli.pipeline.options import option

Pair = Literal["product", "zip", "one-to-one-by-name"]


@dataclass(frozen=True)
class BatchOptions:
    """Which jobs there are, how many workers do them, and what happens when one fails."""

    pair: Pair = option(
        "product", "Every source with every driving, first with first, or files with the same name.", panel="Batch"
    )
    name: str = option(
        "{source}--{driving}.{ext}",
        "Name of each output in the folder, made of {source} {driving} {index} {ext}; a slash makes subfolders.",
        panel="Batch",
    )
    manifest: str | None = option(
        None, "Table of jobs (.csv, .tsv or .jsonl) with options of reenact or rotate as columns.", panel="Batch"
    )
    jobs: int = option(1, "Worker processes; they share the processor's cores.", "--jobs", "-j", panel="Batch")
    resume: bool = option(True, "Skip jobs whose outputs exist and are whole, or do all of them again.", panel="Batch")
    retry: int = option(1, "How often a failed job is tried again, if the reason may be temporary.", panel="Batch")
    timeout: float = option(0.0, "Seconds after which a job is given up; 0 for no limit.", panel="Batch")
    dry_run: bool = option(False, "List the jobs without doing them.", "--dry-run", panel="Batch")
    cache: str | None = option(
        None, "Folder that remembers faces and motions; default: .cache in the output folder.", panel="Batch"
    )
    cluster: str | None = option(None, "Run the jobs on Ray: auto, or the address of its head.", panel="Batch")
    ship_inputs: bool = option(
        False, "Send files to the cluster and back, for machines that share no folder.", "--ship-inputs", panel="Batch"
    )

    def __post_init__(self) -> None:
        if not 1 <= self.jobs <= 1024:
            raise UsageError(f"--jobs {self.jobs}: write a number of workers from 1")
        if not 0 <= self.retry <= 1000:
            raise UsageError(f"--retry {self.retry}: write a number from 0")
        if not 0 <= self.timeout < float("inf"):
            raise UsageError(f"--timeout {self.timeout:g}: write seconds, or 0 for no limit")
        if self.ship_inputs and self.cluster is None:
            raise UsageError("--ship-inputs: needs --cluster")
