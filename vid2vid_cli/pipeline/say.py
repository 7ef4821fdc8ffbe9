"""A picture or a video says a text, in the voice of a program on this machine."""

from __future__ import annotations

import os
import shlex
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from vid2vid_cli.errors import UsageError
from vid2vid_cli.media.files import check_output, open_scratch, require_file
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.pipeline.output import check_name
from vid2vid_cli.pipeline.progress import Hooks, Result
from vid2vid_cli.pipeline.say_options import SayOptions
from vid2vid_cli.pipeline.speak import speak
from vid2vid_cli.speech.voices import find_voice, read_aloud


def say(
    source: str | Path,
    text: str,
    output: str | Path | None = None,
    options: SayOptions | None = None,
    *,
    model: LoadedModel | None = None,
    hooks: Hooks | None = None,
) -> Result:
    """Make a source say a text and write the result, with that voice.

    source: image or video. output: as for `reenact`; default `{source}--says.mp4` in the current folder.
    VoiceError if no voice is installed, or if it fails.
    """
    options, source = options or SayOptions(), Path(source)
    _check_roles(source, text, hooks or Hooks())
    voice = find_voice(options.voice, options.voice_command)
    target = Path(f"{source.stem}--says.mp4") if output is None else output
    check_output(target, force=options.force, inputs=(source,))
    check_name(target, options, is_clip=True)
    # The sound of a text may be private: it lies in a folder that only its owner may enter, and goes in any case.
    with closing(open_scratch(Path(tempfile.gettempdir()) / "voice")) as scratch:
        scratch.folder.chmod(0o700)
        sound = scratch.file("voice.wav")
        read_aloud(voice, text, sound)
        result = speak(source, sound, target, options, model=model, hooks=hooks)
    return replace(result, output=Path(target))


def _check_roles(source: Path, text: str, hooks: Hooks) -> None:
    """Raise for a source that is no file, and warn of a text that is the name of one."""
    is_name = os.path.isfile(text)  # noqa: PTH113  Path.is_file raises for a text that is too long
    if is_name and not source.exists():
        raise UsageError(f"{source}: no such file; SOURCE comes first, so write: {text} {shlex.quote(str(source))}")
    require_file(source)
    if is_name:
        hooks.warn(f"TEXT {text} is the name of a file, and that name is said; to say what it holds: - < {text}")
