"""What picture, video and sound files are usually called. Names only help to list a folder: content decides."""

from __future__ import annotations

PICTURE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".jp2", ".avif", ".heic", ".heif"}
)
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".ts", ".mts", ".flv", ".wmv", ".ogv"}
    | {".3gp", ".mxf"}
)
SOUND_SUFFIXES = frozenset(
    {".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".aif", ".aiff", ".wma", ".mka", ".caf", ".amr"}
    | {".ac3", ".eac3", ".dts", ".au", ".w64", ".wv", ".weba"}
)
