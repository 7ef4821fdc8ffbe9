"""Read and write stills."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageDraw, ImageFont, ImageOps, PngImagePlugin, UnidentifiedImageError, features

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.colour import WHITE, Colour
from vid2vid_cli.media.files import MAX_PIXELS, check_pixels, require_file
from vid2vid_cli.media.jpeg import read_main_view
from vid2vid_cli.media.mark import EXIF_DESCRIPTION
from vid2vid_cli.media.png_colour import ColourSpace, colour_space_of, to_srgb
from vid2vid_cli.media.provenance import MARKED, Provenance
from vid2vid_cli.media.publishing import published, tags_of
from vid2vid_cli.media.still import open_still
from vid2vid_cli.media.watermark.marking import marked_provenance, watermarker_for
from vid2vid_cli.person_mark import is_person_file

_PROFILE_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
FEW = 0.001  # of the pixels: a picture with fewer transparent ones is taken for opaque
_WRITTEN = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
# Whatever Pillow's decoders raise on damaged files.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
    zlib.error,
)


def read_image(path: str | Path, *, background: Colour = WHITE, max_pixels: int = MAX_PIXELS) -> Frame:
    """Read a still as a frame (H, W, 3), uint8 RGB, upright, with transparent parts laid over `background`.

    Of an animated file the first picture is read, of a person file the view that stands for the person.
    """
    path = Path(path)
    require_file(path)
    if is_person_file(path):
        return read_main_view(path, max_pixels)
    try:
        with open_still(path) as opened:
            check_pixels(path, (opened.height, opened.width), max_pixels)
            return _decode(path, opened, background)
    except UnidentifiedImageError as error:
        raise MediaError(f"{path}: is not a picture in a known format (PNG, JPEG, WebP, ...); convert it") from error
    except _DAMAGE as error:
        raise MediaError(
            f"{path}: is damaged and cannot be decoded: {_one_line(error)}; download or make it again"
        ) from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _decode(path: Path, opened: Image.Image, background: Colour) -> Frame:
    opened.load()
    upright = ImageOps.exif_transpose(opened)
    space = colour_space_of(path, dict(opened.info)) if opened.format == "PNG" else None
    profile = opened.info.get("icc_profile") if space is None else None
    if _has_alpha(upright):
        rgba = upright.convert("RGBA")
        alpha = rgba.getchannel("A")
        if alpha.getextrema()[0] != 255:
            ground = Image.new("RGBA", rgba.size, (*background, 255))
            # Profiles have no alpha: it is taken off for the conversion and put back.
            opaque = upright.convert("L") if upright.mode in {"L", "LA", "La"} else rgba.convert("RGB")
            coloured = Image.fromarray(_in_srgb(opaque, profile, space)).convert("RGBA")
            coloured.putalpha(alpha)
            return np.array(Image.alpha_composite(ground, coloured).convert("RGB"))
    return _in_srgb(_eight_bits(upright), profile, space)


def _in_srgb(image: Image.Image, profile: bytes | None, space: ColourSpace | None) -> Frame:
    """Convert a picture without alpha to sRGB, by its profile or by the colour space that its file names."""
    converted = np.array(_as_srgb(image, profile))
    return converted if space is None else to_srgb(converted, space)


def is_see_through(path: str | Path) -> bool:
    """Say whether a still shows what lies behind it in more than a few places. False for what is no still."""
    try:
        with open_still(Path(path)) as opened:
            upright = opened if _has_alpha(opened) else None
            if upright is None:
                return False
            shares = np.array(upright.convert("RGBA").getchannel("A")) < 128
            return bool(shares.mean() > FEW)
    except _DAMAGE:  # reading the picture itself says what is wrong with it
        return False


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or (
        "transparency" in image.info and image.mode in {"P", "RGB", "L", "1"}
    )


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit and float grey to 0..255, which Pillow would clip. All other modes have 8 bits already."""
    if image.mode.startswith("I"):
        grey = np.array(image).astype(np.float64) / 257.0  # 65535 / 255
    elif image.mode == "F":
        grey = np.array(image).astype(np.float64)
        # Float pictures come in [0, 1] or in [0, 255]; no header says which.
        grey = grey * (255.0 if np.nanmax(grey) <= 1.0 else 1.0)
    else:
        return image
    grey = np.nan_to_num(grey)
    return Image.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8))


def _as_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert to sRGB by the embedded profile. A broken or unsuitable one is ignored, as viewers do."""
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            # The colours of a palette, and greys in the file of a colour profile, are colours like all others.
            mode = _PROFILE_MODES.get(source.profile.xcolor_space.strip(), image.mode)
            is_grey = image.mode in {"1", "L"}
            if "CMYK" not in (mode, image.mode) and (is_grey or mode == "RGB"):
                image = image.convert(mode)
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
    return image.convert("RGB")


def write_image(path: str | Path, frame: Frame, *, provenance: Provenance | None = MARKED, force: bool = False) -> None:
    """Write a frame (H, W, 3) as PNG, JPEG or WebP, by the suffix; (H, W, 4) with straight alpha, not as JPEG.

    The file appears when it is whole. force: see `publishing.publish`; `check_output` comes before the work.
    """
    path = Path(path)
    if path.suffix.lower() not in _WRITTEN:
        raise MediaError(f"{path}: pictures are written as {', '.join(_WRITTEN)}")
    _check_frame(frame)
    watermarker = watermarker_for(provenance, frame.shape[:2])
    if watermarker is not None:
        frame, provenance = watermarker(frame), marked_provenance(provenance, frame.shape[:2])
    with published(path, provenance, force=force) as temporary:
        try:
            save_still(temporary, frame, provenance)
        except (OSError, ValueError) as error:  # ValueError: the picture is too large for the format
            raise MediaError(f"{path}: cannot be written: {_one_line(error)}") from error


def _check_frame(frame: Frame) -> None:
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] not in (3, 4):
        raise ValueError(f"a frame is uint8 (H, W, 3) or (H, W, 4), not {frame.dtype} {frame.shape}")


def save_still(path: Path, frame: Frame, provenance: Provenance | None) -> None:
    """Encode a frame into `path` itself, with tags in the metadata that viewers show."""
    tags = tags_of(provenance)
    comment, description = tags.get("comment", ""), tags.get("description", "")
    kind = _WRITTEN[path.suffix.lower()]
    image = Image.fromarray(np.ascontiguousarray(frame))
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        if comment:
            text.add_text("Comment", comment)
        # Much faster than the default level 6, for slightly larger files.
        image.save(path, kind, pnginfo=text, compress_level=3)
        return
    exif = Image.Exif()
    if description:
        exif[EXIF_DESCRIPTION] = description
    if kind == "JPEG":
        image.save(path, kind, quality=95, subsampling=0, exif=exif, comment=comment)
    else:
        image.save(path, kind, quality=95, exif=exif)


def encode_jpeg(frame: Frame, quality: int, longest_px: int | None = None) -> bytes:
    """Return a frame (H, W, 3 or 4) as the bytes of a JPEG file, transparent parts on white, to look at at once.

    longest_px: makes a larger picture so small that its longer side has so many pixels.
    """
    image = Image.fromarray(np.ascontiguousarray(frame))
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, (*WHITE, 255)), image).convert("RGB")
    if longest_px is not None:
        image.thumbnail((longest_px, longest_px), Image.Resampling.BILINEAR, reducing_gap=2.0)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def encode_picture(frame: Frame, quality: int) -> bytes:
    """Return a frame (H, W, 3) as the bytes of an AVIF file, or of a WebP file if Pillow was built without AVIF."""
    file = io.BytesIO()
    kind = "AVIF" if features.check("avif") else "WEBP"
    Image.fromarray(np.ascontiguousarray(frame)).save(file, kind, quality=quality)
    return file.getvalue()


def encode_small(frame: Frame, quality: int) -> bytes:
    """Return a small frame (H, W, 3) as the bytes of a WebP file, whose frame around the picture is the shortest."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(frame)).save(file, "WEBP", quality=quality, method=6)
    return file.getvalue()


def decode_small(data: bytes, max_px: int) -> Frame | None:
    """Return the frame (H, W, 3) in the bytes of a WebP, JPEG, PNG or AVIF file; None for any other.

    max_px: of its longer side; larger ones are not decoded.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("WEBP", "JPEG", "PNG", "AVIF")) as opened:
            return np.array(opened.convert("RGB")) if max(opened.size) <= max_px else None
    except (*_DAMAGE, UnidentifiedImageError, Image.DecompressionBombError):
        return None


def contact_sheet(frames: Sequence[Frame], columns: int, labels: Sequence[str] | None = None) -> Frame:
    """Lay frames out on white in rows of `columns`. Each cell has the largest frame's size, with its label above.

    Frames (H, W, 4) stay transparent.
    """
    if not frames or columns < 1 or (labels is not None and len(labels) != len(frames)):
        raise ValueError("a contact sheet needs frames, columns, and a label for each frame or none at all")
    font = ImageFont.load_default(size=14)
    label_px = 20 if labels is not None else 0
    height = max(frame.shape[0] for frame in frames) + label_px
    width = max(frame.shape[1] for frame in frames)
    rows = -(-len(frames) // columns)  # rounded up
    mode = "RGBA" if frames[0].shape[2] == 4 else "RGB"
    sheet = Image.new(mode, (width * min(columns, len(frames)), height * rows), WHITE)
    draw = ImageDraw.Draw(sheet)
    for index, frame in enumerate(frames):
        left, top = index % columns * width, index // columns * height
        sheet.paste(Image.fromarray(np.ascontiguousarray(frame)), (left, top + label_px))
        if labels is not None:
            draw.text((left + 4, top + 2), labels[index], fill=(0, 0, 0), font=font)
    return np.array(sheet)
