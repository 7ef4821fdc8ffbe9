"""What a file holds and whether options make sense: what needs torch or ffmpeg, for the process of looker.py."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from vid2vid_cli.arrays import Frame
from vid2vid_cli.batch.jobs import KINDS, Options
from vid2vid_cli.errors import MediaError, UsageError
from vid2vid_cli.face.expressions import describe
from vid2vid_cli.media.image import encode_jpeg, read_image
from vid2vid_cli.media.sound import probe_sound
from vid2vid_cli.media.video import ReadOptions, probe_video, read_video
from vid2vid_cli.models.gaze_request import DirectsGaze
from vid2vid_cli.models.named_expressions import NamesExpressions
from vid2vid_cli.models.registry import LoadedModel, load_face_analyzer, load_model
from vid2vid_cli.person_mark import is_person_file
from vid2vid_cli.pipeline.background import names_file
from vid2vid_cli.pipeline.driving.opening import kind_of
from vid2vid_cli.pipeline.driving.speech import SpeechDriving
from vid2vid_cli.pipeline.driving.still import StillDriving
from vid2vid_cli.pipeline.driving.video import VideoDriving
from vid2vid_cli.pipeline.family_request import apply_request, check_family
from vid2vid_cli.pipeline.open_scene import SceneRequest
from vid2vid_cli.pipeline.options import RotateOptions
from vid2vid_cli.pipeline.output import check_target
from vid2vid_cli.pipeline.progress import Hooks, WarningLog
from vid2vid_cli.pipeline.rotate import parse_turn

PICTURE_PX, PICTURE_QUALITY = 1024, 85


@dataclass
class Looks:
    """What can be asked. checkpoint: of the server."""

    checkpoint: str

    @cached_property
    def loaded(self) -> LoadedModel:
        """The model, for what its family can do."""
        torch.set_num_threads(1)
        return load_model(self.checkpoint)

    def ready(self) -> None:
        """Load what the first request would wait for."""
        self.loaded, load_face_analyzer()

    def family(self) -> dict[str, Any]:
        """Say what the checkpoint can do."""
        model, family = self.loaded.model, self.loaded.family
        names = model.expression_names if isinstance(model, NamesExpressions) else ()
        return {
            "family": family.name,
            "expressions": [{"name": name, "help": describe(name)} for name in names],
            "has_gaze": isinstance(model, DirectsGaze),
            "has_head_pose": family.has_head_pose,
        }

    def describe(self, path: str, pixels: int, duration_s: float) -> dict[str, Any]:
        """Say what a file holds, and write a small picture of it beside it. Any error says that it cannot be used.

        pixels, duration_s: more than these is refused.
        """
        file = Path(path)
        kind = kind_of(file)
        if kind is StillDriving:
            frame = read_image(file, max_pixels=pixels)
            shown = "person" if is_person_file(file) else "picture"
            return _facts(shown, frame.shape[:2], None, self._look_at(frame, file))
        if kind is SpeechDriving:
            length_s = probe_sound(file).duration_s
            _check_duration(file, length_s, duration_s)
            return _facts("sound", (None, None), length_s, [])
        if kind is not VideoDriving:
            return _facts("motion", (None, None), None, [])
        info = probe_video(file, pixels)
        _check_duration(file, info.duration_s, duration_s)
        with closing(read_video(file, ReadOptions(), info)) as frames:
            first = next(iter(frames), None)
        if first is None:
            raise MediaError(f"{file}: holds no frame that can be read; download or make it again")
        return _facts("video", info.size, info.duration_s, self._look_at(first, file))

    def _look_at(self, frame: Frame, file: Path) -> list[dict[str, Any]]:
        file.with_suffix(".jpg").write_bytes(encode_jpeg(frame, PICTURE_QUALITY, PICTURE_PX))
        with torch.inference_mode():
            faces = load_face_analyzer().faces(frame, thorough=True)
        boxes = [[round(float(side), 1) for side in face.box] for face in faces]
        return [
            {"index": index, "x": left, "y": top, "width": right - left, "height": bottom - top}
            for index, (left, top, right, bottom) in enumerate(boxes)
        ]

    def check(
        self, command: str, options: Mapping[str, Any], output: str, *, is_clip: bool, background: str | None
    ) -> None:
        """Raise the error that the command would raise for options that make no sense.

        output: a name with the suffix of the output. background: the one file that the options may name.
        """
        given: Options = KINDS[command](**options)
        if given.background != background and names_file(given.background):
            raise UsageError(f"--background {given.background}: write keep, follow, blur, a colour, or a file's id")
        apply_request(self.loaded, given)
        if isinstance(given, RotateOptions):
            check_family(self.loaded.family, parse_turn(given)[0])
        else:
            request = SceneRequest.of(given, WarningLog(Hooks()))
            check_family(self.loaded.family, request.sweeps, given.region)
        check_target(output, given, is_clip=is_clip)


def _facts(
    kind: str, size: tuple[int | None, ...], duration_s: float | None, faces: list[dict[str, Any]]
) -> dict[str, Any]:
    height, width = size
    return {"kind": kind, "width": width, "height": height, "duration_s": duration_s, "faces": faces}


def _check_duration(file: Path, length_s: float, most_s: float) -> None:
    if length_s > most_s:
        raise MediaError(
            f"{file}: is {length_s:.1f} s long, and {most_s:g} are allowed; cut it, or start the server with a larger "
            "--max-duration"
        )
