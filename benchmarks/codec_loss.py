"""The effect of packet loss on a call: how far keypoints are off, and how long until they recover."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vid2vid_cli.call.encode import encode_call
from vid2vid_cli.codec.packets import Kind, Packet
from vid2vid_cli.codec.stream import Receiver, Tally
from vid2vid_cli.models.compact.posing import CompactState
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.motion import join_motions
from vid2vid_cli.pipeline.driving.call_file import CallRecording
from vid2vid_cli.pipeline.encode_options import EncodeOptions
from vid2vid_cli.pipeline.engine import start_engine
from vid2vid_cli.pipeline.options import EngineOptions, PictureOptions
from vid2vid_cli.pipeline.source import Source

INTERVALS = (1, 5, 15)  # frames from one key packet to the next
RUNS = 10
LOSSES = {"5 %": (0.05, 1.0), "20 %": (0.2, 1.0), "bursts, 10 %, 10 packets on average": (0.1, 10.0)}
PX_AT_256 = 128.0  # keypoints are in [-1, 1], so 1 is half of the side


def measure_loss(clip: Path, model: LoadedModel, folder: Path) -> list[dict[str, Any]]:
    """Measure every kind of loss at every interval of key packets."""
    rows = []
    for interval in INTERVALS:
        call = folder / f"loss-{interval}.v2v"
        encode_call(
            clip,
            call,
            EncodeOptions(key_interval=interval, audio="none", force=True, patches=0, body=False),
            model=model,
        )
        with closing(CallRecording(call)) as recording, torch.inference_mode():
            whole = Keypoints(recording, model)
            packets = [p for p in recording.reader.packets() if p.kind in (Kind.KEY, Kind.DELTA, Kind.HOLD)]
            motion_bytes = sum(len(p.write(0)) for p in packets) / max(1, len(packets))
            for name, (share, burst) in LOSSES.items():
                rows.append({"loss": name, "interval": interval, "bytes": motion_bytes, **whole.lossy(share, burst)})
    return rows


def draw_losses(count: int, share: float, burst: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return which of `count` packets are lost: a share of them, in runs of `burst` on average (Gilbert's model)."""
    lost, state = np.zeros(count, np.bool_), False
    begin = share / (burst * (1 - share))
    for index in range(count):
        state = rng.random() > 1 / burst if state else rng.random() < begin
        lost[index] = state
    return lost


class Keypoints:
    """The keypoints that the receiver of a call would render when packets are lost."""

    def __init__(self, recording: CallRecording, model: LoadedModel) -> None:
        """Receive everything once, without loss."""
        self._recording, self._model = recording, model.model
        self._space = recording.require_model(model.model)
        engine = start_engine(EngineOptions(), model)
        self._source = Source(recording.save_picture(), PictureOptions(), engine, print).first_appearance()
        self._packets = list(recording.reader.packets())
        self._whole, _ = self._receive(self._packets)

    def _receive(self, packets: list[Packet]) -> tuple[torch.Tensor, list[bool]]:
        """Return the keypoints (T, K, 3) of all frames, and which frames were missing."""
        receiver = Receiver(self._recording.header, Tally())
        moments = [moment for packet in packets for moment in receiver.take(packet)]
        # Frames before the first key packet show its motion.
        first = next(m.numbers for m in moments if m.numbers is not None)
        motions = [self._space.motion((first if m.numbers is None else m.numbers)[None]) for m in moments]
        reference = self._recording.reference(self._space)
        driven = self._model.drive(self._source, join_motions(motions), reference, None)
        if not isinstance(driven, CompactState):
            raise ValueError("losses are measured with compact")
        return torch.cat([driven.keypoints, driven.gaze], 1), [moment.is_missing for moment in moments]

    def lossy(self, share: float, burst: float) -> dict[str, float]:
        """Return means over RUNS runs: distance in px at 256 px, and how long motion is held, in ms."""
        fps, distances, held, waits = float(self._recording.fps), [], [], list[int]()
        for seed in range(RUNS):
            rng = np.random.default_rng(seed)
            lost = draw_losses(len(self._packets), share, burst, rng)
            kept = [
                packet
                for packet, is_lost in zip(self._packets, lost, strict=True)
                if not is_lost or packet.kind not in (Kind.KEY, Kind.DELTA, Kind.HOLD)
            ]
            points, missing = self._receive(kept)
            distances.append(float((points - self._whole)[..., :2].norm(dim=-1).mean()) * PX_AT_256)
            held.append(float(np.mean(missing)))
            waits += run_lengths(missing)
        return {
            "akd_px": float(np.mean(distances)),
            "held": float(np.mean(held)),
            "recovery_ms": 1000 * float(np.mean(waits)) / fps,
            "longest_ms": 1000 * max(waits) / fps,
        }


def run_lengths(missing: list[bool]) -> list[int]:
    """Return the length of each run of missing frames; [0] if none was missing."""
    runs, length = [], 0
    for is_missing in [*missing, False]:
        if is_missing:
            length += 1
        elif length:
            runs.append(length)
            length = 0
    return runs or [0]
