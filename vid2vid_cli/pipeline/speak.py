"""A picture or a video speaks a sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from vid2vid_cli.errors import UsageError
from vid2vid_cli.media.audio import AudioSource
from vid2vid_cli.media.files import require_file
from vid2vid_cli.media.video import sniff
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.pipeline.driving.motion_reader import ReaderSetup
from vid2vid_cli.pipeline.driving.speech import SpeechDriving
from vid2vid_cli.pipeline.engine import Engine
from vid2vid_cli.pipeline.memory import Memory
from vid2vid_cli.pipeline.motion_controls import MotionControls
from vid2vid_cli.pipeline.options import ReenactOptions, SpeakOptions
from vid2vid_cli.pipeline.parsing import parse_fps
from vid2vid_cli.pipeline.progress import Hooks, Result
from vid2vid_cli.pipeline.reenact import reenact
from vid2vid_cli.pipeline.scene import Scene
from vid2vid_cli.pipeline.source import Source
from vid2vid_cli.pipeline.speakers import speaker_of
from vid2vid_cli.speech.mouth import SpokenMouth


def speak(
    source: str | Path,
    sound: str | Path,
    output: str | Path | None = None,
    options: SpeakOptions | None = None,
    *,
    model: LoadedModel | None = None,
    hooks: Hooks | None = None,
    memory: Memory | None = None,
) -> Result:
    """Make a source speak a sound and write the result, with that sound.

    source: image or video. sound: a file with sound in any format, or a film, whose sound is taken. The others as for
    `reenact`. Raises a subclass of Vid2VidError whose text is one line; nothing is left behind then.
    """
    options = options or SpeakOptions()
    if options.source_video:
        require_file(Path(source))
        if sniff(source) != "video":
            raise UsageError(f"--source-video: {source} is a picture; leave it out, or name a video as SOURCE")
        if not options.paste_back:
            raise UsageError("--source-video: keeps the whole picture, so it goes with --paste-back, not --crop-only")
        options = replace(options, region="mouth")
    return reenact(
        *(source, sound, output, options),
        model=model,
        hooks=hooks,
        memory=memory,
        kind=SpeechDriving,
        keeps_around_mouth=options.source_video,
    )


def open_new_mouths(
    engine: Engine,
    source: Source,
    mouths: Callable[[], Iterator[SpokenMouth]],
    count: int,
    options: ReenactOptions,
    *,
    audio: AudioSource | None = None,
) -> Scene:
    """Return a scene of a source video in which new mouths replace its own; all else stays as filmed.

    Pixels outside of the lower face are those of the video, to the bit. mouths: begins anew with each call, and yields
    a mouth for each frame of the video, `count` in all; the scene ends with the shorter of the two. options: their
    `strength` and `smooth` hold, the region is the mouth's. audio: the scene's sound, for its writer.
    Play it with `pipeline.reenact.play`, or iterate over `frames()`; close it.
    """
    if source.info is None:
        raise UsageError(f"{source.path}: is a picture; name a video, whose mouth is to change")
    model = engine.loaded.model
    setup = ReaderSetup(model, engine.analyzer, "largest", engine.device)
    driving = SpeechDriving(
        path=source.path,
        fps=parse_fps(options.fps) or source.info.fps,
        count=max(1, count),
        audio=audio,
        mouths=mouths,
        speaker=speaker_of(setup, str(source.path)),
    )
    controls = replace(MotionControls.of(options), region="mouth")
    scene = Scene(model, source, driving, controls, (None, None, None))
    scene.keep_around_mouth()
    scene.find_reference("auto")
    return scene
