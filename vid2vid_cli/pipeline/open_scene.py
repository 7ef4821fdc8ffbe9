"""Open a scene as a user asks for it: parse the options, then open the driving and the source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import UsageError
from vid2vid_cli.face.mesh import Select
from vid2vid_cli.media.files import require_file
from vid2vid_cli.media.video import ReadOptions
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.pipeline.backdrop import set_background
from vid2vid_cli.pipeline.background import follows_camera
from vid2vid_cli.pipeline.driving.base import Driving, FileDriving
from vid2vid_cli.pipeline.driving.motion_reader import ReaderSetup, SpeechSetup
from vid2vid_cli.pipeline.driving.opening import open_driving
from vid2vid_cli.pipeline.engine import Engine, start_engine
from vid2vid_cli.pipeline.expression import parse_expressions, parse_gaze
from vid2vid_cli.pipeline.family_request import check_family
from vid2vid_cli.pipeline.manner import check_manner, in_manner
from vid2vid_cli.pipeline.memory import Memory
from vid2vid_cli.pipeline.motion_controls import MotionControls
from vid2vid_cli.pipeline.options import ReenactOptions
from vid2vid_cli.pipeline.parsing import check_motion_numbers, parse_face, parse_fps, reading_options
from vid2vid_cli.pipeline.pose import Sweeps, parse_sweeps
from vid2vid_cli.pipeline.progress import Hooks, WarningLog
from vid2vid_cli.pipeline.scene import Scene
from vid2vid_cli.pipeline.source import Source, Subject
from vid2vid_cli.pipeline.source_faces import check_picture


@dataclass(frozen=True)
class SceneRequest:
    """What a user asks for, parsed and checked before anything is loaded."""

    options: ReenactOptions
    sweeps: Sweeps
    reading: ReadOptions
    driving_face: Select

    @classmethod
    def of(cls, options: ReenactOptions, log: WarningLog) -> SceneRequest:
        """Parse the options. UsageError for one that makes no sense."""
        # All that can be told from the options alone: a typing mistake must not cost the seconds that loading takes.
        sweeps = parse_sweeps(options)
        reading = reading_options(options, log)
        check_numbers(options)
        parse_expressions(options)
        parse_gaze(options)
        check_picture(options)
        return cls(options, sweeps, reading, parse_face(options.driving_face, "driving-face"))

    def open_driving(
        self, path: Path, engine: Engine, source: Source | None = None, kind: type[FileDriving] | None = None
    ) -> FileDriving:
        """Open the driving. source: if it is a video, a sound drives at its rate. kind: None goes by the content."""
        options = self.options
        source_fps = None if source is None or source.info is None else source.info.fps
        setup = ReaderSetup(
            engine.loaded.model,
            engine.analyzer,
            self.driving_face,
            engine.device,
            engine.memory,
            needs_pictures=options.compare or follows_camera(options),
            max_pixels=options.max_pixels,
            follows=options.body,
            shows=options.mouth in ("auto", "driving"),
            wrinkles=shown_wrinkles(options),
            speech=SpeechSetup(options.head, options.seed, source_fps),
            keeps_zoom=follows_camera(options),
        )
        if kind is None:
            return open_driving(path, self.reading, setup)
        require_file(path)
        return kind.open(path, self.reading, setup)

    def open_scene(self, engine: Engine, source: Source, driving: Driving) -> Scene:
        """Bring source and driving together. The reference frame is found later, by `Scene.find_reference`."""
        controls, fps = MotionControls.of(self.options), parse_fps(self.options.fps)
        driving = in_manner(driving, source, engine.loaded.model, self.options.manner)
        scene = Scene(engine.loaded.model, source, driving, controls, self.sweeps, fps=fps)
        # Pictures beside each other need the driving's frames, which `open_driving` asked for.
        if self.options.compare:
            scene.show_side_by_side()
        return scene


def open_scene(
    source: Subject | Frame,
    driving: str | Path | Driving,
    options: ReenactOptions | None = None,
    *,
    model: LoadedModel | None = None,
    hooks: Hooks | None = None,
    memory: Memory | None = None,
) -> Scene:
    """Open a source and a driving as a scene, which yields frames; nothing is written.

    source: a picture, a video or a person file by its path, several files of one person, the first of which is
    animated, or a picture as uint8 RGB (height, width, 3). driving: a video, GIF,
    picture, sound, motion file or call by its path, or an open `Driving`. options: as for `reenact`; those for encoding
    and sound are ignored. model: loaded before with `load_model`, to spare loading it again.

        with open_scene("portrait.jpg", "talk.mp4") as scene:
            for frame, info in scene:
                show(frame)

    Raises a subclass of Vid2VidError whose text is one line.
    """
    options, log = options or ReenactOptions(), WarningLog(hooks or Hooks())
    request = SceneRequest.of(options, log)
    engine = start_engine(options, model, memory)
    # Only the loaded checkpoint says which family it is.
    check_family(engine.loaded.family, request.sweeps, options.region)
    shown = Source(source, options, engine, log.warn)
    opened = driving if isinstance(driving, Driving) else request.open_driving(Path(driving), engine, shown)
    # The scene closes the driving, but there is no scene yet if one of these steps fails.
    try:
        scene = request.open_scene(engine, shown, opened)
        set_background(scene, None, None, log.warn)
        if options.relative:
            scene.find_reference(options.reference_frame)
    except BaseException:
        opened.close()
        raise
    return scene


def check_numbers(options: ReenactOptions) -> None:
    """Raise UsageError for numbers out of range."""
    if not 0 <= options.strength <= 3:
        raise UsageError(f"--strength {options.strength:g}: write a number from 0 to 3")
    if not 0 <= options.wrinkles <= 1:
        raise UsageError(f"--wrinkles {options.wrinkles:g}: write a number from 0 to 1")
    check_manner(options.manner, is_relative=options.relative)
    check_motion_numbers(options)


def shown_wrinkles(options: ReenactOptions) -> float:
    """Return how much of the driving's wrinkles is shown: none without its expression, at most as much as of that."""
    return options.wrinkles * min(1.0, options.strength) if options.region in ("all", "expression") else 0.0
