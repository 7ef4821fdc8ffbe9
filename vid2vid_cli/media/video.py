"""Gather what is needed to probe, read and write videos."""

from vid2vid_cli.arrays import Frame
from vid2vid_cli.media.audio import AudioSource, audio_of
from vid2vid_cli.media.encoder import WriteOptions
from vid2vid_cli.media.encoder_check import check_encoding
from vid2vid_cli.media.mark import read_mark
from vid2vid_cli.media.probe import VideoInfo, probe_video, sniff
from vid2vid_cli.media.provenance import MARKED, SYNTHETIC_MARK, Provenance
from vid2vid_cli.media.reader import ReadOptions, frames_to_read, lay_over, read_video, shows_through
from vid2vid_cli.media.writer import FrameWriter, open_writer

__all__ = [
    "MARKED",
    "SYNTHETIC_MARK",
    "AudioSource",
    "Frame",
    "FrameWriter",
    "Provenance",
    "ReadOptions",
    "VideoInfo",
    "WriteOptions",
    "audio_of",
    "check_encoding",
    "frames_to_read",
    "lay_over",
    "open_writer",
    "probe_video",
    "read_mark",
    "read_video",
    "shows_through",
    "sniff",
]
