"""From rendered faces to the output frame: pasted back into the source, or alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import NoFaceError
from vid2vid_cli.face.crop import crop_frame
from vid2vid_cli.face.lower_face import find_lower_face
from vid2vid_cli.face.paste import paste_face, resize_frame
from vid2vid_cli.pipeline.options import PictureOptions
from vid2vid_cli.pipeline.output import fit_size
from vid2vid_cli.pipeline.source import SourceFace, SourceFrame


class Finisher:
    """Makes output frames of one size out of source frames and their rendered faces."""

    def __init__(self, path: Path, options: PictureOptions) -> None:
        """Take options that `source.check_picture` accepts. path: the source's, for messages."""
        self._path, self._options = path, options
        self._crop_size: tuple[int, int] | None = None
        self.keeps_around_mouth = False
        """Whether all but the lower face stays as the source shows it, to the bit."""

    def __call__(self, source: SourceFrame, rendered: Sequence[Frame | None]) -> Frame:
        """Return the output frame. rendered: a picture for each face, None for one that is not seen now."""
        if self._options.paste_back:
            frame = source.frame
            for face, picture in zip(source.faces, rendered, strict=True):
                if picture is not None:
                    pasted = paste_face(frame, picture, face.crop)
                    frame = (
                        self._around_mouth(pasted, frame, face, source.mouth_share)
                        if self.keeps_around_mouth
                        else pasted
                    )
            return frame
        return self._crop_only(source, rendered)

    @staticmethod
    def _around_mouth(pasted: Frame, frame: Frame, face: SourceFace, share: float) -> Frame:
        """Return what is pasted in the lower face, and the frame itself around it."""
        where = None if face.landmarks_px is None else find_lower_face(face.landmarks_px, frame.shape[:2])
        return frame if where is None else where.lay(pasted, frame, share)

    def _crop_only(self, source: SourceFrame, rendered: Sequence[Frame | None]) -> Frame:
        if not source.faces:
            raise NoFaceError(f"{self._path}: no face at the beginning, and --crop-only needs one; use --paste-back")
        picture = rendered[0] if rendered[0] is not None else crop_frame(source.frame, source.faces[0].crop)
        if self._crop_size is None:
            size = picture.shape[0], picture.shape[1]
            self._crop_size = size if self._options.size is None else fit_size(size, self._options.size)
        return resize_frame(picture, self._crop_size)
