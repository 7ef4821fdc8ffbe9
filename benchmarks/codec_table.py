"""The codec's figures as Markdown."""

from __future__ import annotations

from typing import Any

import numpy as np

EXACT = "unquantised"
MEASURES = {"ssim": "SSIM", "psnr": "PSNR", "akd_px": "AKD"}
LESS_IS_BETTER = ("akd_px", "l1", "mouth_l1")
TARGETS = {"high": 53, "medium": 32, "low": 20}


def format_tables(results: dict[str, Any]) -> str:
    """Return all tables."""
    tables = (_about, rate_table, later_table, live_table, other_table, video_table, loss_table)
    parts = [table(results) for table in tables]
    return "\n\n".join(part for part in parts if part)


def _about(results: dict[str, Any]) -> str:
    clips = results["clips"]
    return (
        f"{len(clips)} clips that were used neither for the basis nor for training, cropped to squares of 512x512; "
        f"the first {results['frames']} frames, of which every {results['every']}th is compared with the camera's "
        f"picture. Keypoints are {results['judge']}'s, and distances are in pixels of a 256 px picture. Bytes count "
        "all motion packets with keys, framing and checksums: first at 30 frames/s (`--fps 30` converts clips of "
        "other rates), then at the clips' own rates, at which all other figures were measured. All of these tables but "
        "the one after 5 s are of calls with `--head-only --patches 0`."
    )


def mean_of(results: dict[str, Any], rate: str, name: str) -> float:
    """Return the mean of a figure over the clips."""
    return float(np.nanmean([clip["rates"][rate][name] for clip in results["clips"]]))


def rate_table(results: dict[str, Any]) -> str:
    """Compare the rates with motion that is not quantised."""
    lines = [
        "| `--rate` | bytes per frame at 30/s | worst clip | kbit/s | at own rates | AKD | PSNR | AKD to unquantised |",
        "|---|---|---|---|---|---|---|---|",
    ]
    exact_akd, exact_psnr = (mean_of(results, EXACT, name) for name in ("akd_px", "psnr"))
    for rate in TARGETS:
        size, own = mean_of(results, rate, "bytes_at_30"), mean_of(results, rate, "bytes")
        worst = max(clip["rates"][rate]["bytes_at_30"] for clip in results["clips"])
        akd, psnr = mean_of(results, rate, "akd_px"), mean_of(results, rate, "psnr")
        lines.append(
            f"| {rate} | **{size:.1f}** | {worst:.1f} | {size * 0.24:.1f} | {own:.1f} "
            f"| {akd:.2f} ({akd - exact_akd:+.2f}) | {psnr:.2f} ({psnr - exact_psnr:+.2f}) "
            f"| {mean_of(results, rate, 'akd_from_exact_px'):.2f} |"
        )
    lines.append(f"| unquantised | | | | | {exact_akd:.2f} | {exact_psnr:.2f} | |")
    picture = mean_of(results, "high", "picture")
    speed = results["speed_ms"]
    return "\n".join(
        [
            *lines,
            "",
            f"The key picture takes {picture / 1000:.1f} kB once, at `--key-quality 80`. On one core, encoding took "
            f"{speed['encode']:.0f} ms of processor time per frame and decoding {speed['decode']:.0f} ms, without "
            f"ffmpeg. The codec itself accounts for {speed['codec']:.1f} ms of that.",
        ]
    )


def later_table(results: dict[str, Any]) -> str:
    """Show what a receiver sees after five seconds, beside `reenact`, and what H.264 needs for the same."""
    clips = results.get("later")
    if not clips:
        return ""
    columns = {"bytes": "bytes per frame", "l1": "L1", "mouth_l1": "mouth L1", "psnr": "PSNR", "ssim": "SSIM"}
    columns["akd_px"] = "AKD"
    lines = ["| after 5 s | " + " | ".join(columns.values()) + " |", "|---|" + "---|" * len(columns)]
    for way in clips[0]["ways"]:
        means = {name: float(np.mean([clip["ways"][way][name] for clip in clips])) for name in columns}
        cells = ["" if np.isnan(value) else f"{value:.{3 if name == 'ssim' else 2}f}" for name, value in means.items()]
        lines.append(f"| {way} | " + " | ".join(cells) + " |")
    most = max(clip["ways"]["call"]["bytes"] for clip in clips)
    patches = np.mean([clip["ways"]["call"]["patches"] for clip in clips])
    told = (
        f"{len(clips)} of these clips that last six seconds or more, judged from the sixth second on. All bytes after "
        f"the picture count, at the clips' own rates: at most {most:.1f} per frame; {patches:.0f} patches on average."
    )
    return "\n".join([told, "", *lines, *_later_rivals(clips)])


def _later_rivals(clips: list[dict[str, Any]]) -> list[str]:
    """Say how many times the bytes H.264 needs for the same figures as a call."""
    filmed = [clip for clip in clips if clip["videos"]]
    if not filmed:
        return []
    cells = []
    for measure, name in {**MEASURES, "l1": "L1", "mouth_l1": "mouth L1"}.items():
        ratios = []
        for clip in filmed:
            ours = clip["ways"]["call"]
            size, mark = equal_rate(clip["videos"], measure, ours[measure])
            ratios.append((size / ours["bytes"], mark))
        marks = {mark for _, mark in ratios}
        about = (
            ""
            if marks == {"="}
            else "at most "
            if marks <= {"=", "<"}
            else "at least "
            if "<" not in marks
            else "about "
        )
        cells.append(f"{name} {about}{np.exp(np.mean(np.log([ratio for ratio, _ in ratios]))):.1f}")
    told = f"H.264 (veryslow) needs so many times the bytes of the call for the same, over {len(filmed)} clips: "
    return ["", told + ", ".join(cells) + "."]


def live_table(results: dict[str, Any]) -> str:
    """Show the figures of a live call; empty if none was measured."""
    live = results.get("live")
    if live is None:
        return ""
    cores = "one core for both" if live["cores"] and len(set(live["cores"])) == 1 else "one core each"
    return "\n".join(
        [
            f"| a live call of 512x512, {live['frames']} frames, {cores} | frames/s | processor ms per frame |",
            "|---|---|---|",
            f"| sender: camera to packet, ffmpeg included | {live['sender_fps']:.1f} | {live['sender_ms']:.1f} |",
            f"| receiver: packet to picture | {live['receiver_fps']:.1f} | {live['receiver_ms']:.1f} |",
            "",
            f"On {live['machine']['processor']}. At 25 frames/s, a frame was shown after {live['delay_ms']:.0f} ms, "
            f"at most {live['longest_ms']:.0f} ms. {live['late_share']:.0%} of the frames came more than two frames "
            f"later than that, and for {live['repeated_share']:.0%} the previous frame was repeated.",
        ]
    )


def other_table(results: dict[str, Any]) -> str:
    """Compare ways to send the same motion."""
    lines = ["| the motion of `high`, sent in other ways | bytes per frame |", "|---|---|"]
    for name in results["clips"][0]["other"]:
        lines.append(f"| {name} | {np.mean([clip['other'][name] for clip in results['clips']]):.1f} |")
    high = mean_of(results, "high", "bytes")
    return "\n".join([*lines, f"| a call, including framing, checksums and keys | {high:.1f} |"])


def envelope(points: list[dict[str, Any]], measure: str) -> list[tuple[float, float]]:
    """Return the settings that no cheaper one matches: bytes and measure, the cheapest first."""
    sign = -1 if measure in LESS_IS_BETTER else 1
    best, kept = -np.inf, []
    for point in sorted(points, key=lambda p: p["bytes"]):
        if np.isfinite(point[measure]) and sign * point[measure] > best:
            best = sign * point[measure]
            kept.append((point["bytes"], point[measure]))
    return kept


def equal_rate(points: list[dict[str, Any]], measure: str, wanted: float) -> tuple[float, str]:
    """Return the bytes per frame at which a codec reaches a figure: exactly (=), at most (<) or at least (>)."""
    curve = envelope(points, measure)
    sign = -1 if measure in LESS_IS_BETTER else 1
    values = [sign * value for _, value in curve]
    if sign * wanted <= values[0]:
        return curve[0][0], "<"
    if sign * wanted > values[-1]:
        return curve[-1][0], ">"
    # Bytes are interpolated as logarithms, as in rate-distortion curves.
    return float(np.exp(np.interp(sign * wanted, values, np.log([size for size, _ in curve])))), "="


def video_table(results: dict[str, Any]) -> str:
    """Compare with video codecs at equal figures, clip by clip, as a geometric mean."""
    if not results["videos"]:
        return ""
    codecs = list(dict.fromkeys(point["codec"] for point in results["videos"][0]["points"]))
    lines = [
        "| bytes per frame for the same figure (times ours) | " + " | ".join(MEASURES.values()) + " | first picture |",
        "|---|" + "---|" * (len(MEASURES) + 1),
    ]
    ours = {clip["clip"]: clip["rates"]["high"] for clip in results["clips"]}
    for codec in codecs:
        cells = []
        for measure in MEASURES:
            found, marks = [], set()
            for video in results["videos"]:
                points = [p for p in video["points"] if p["codec"] == codec]
                size, mark = equal_rate(points, measure, ours[video["clip"]][measure])
                found.append((size, size / ours[video["clip"]]["bytes"]))
                marks.add(mark)
            size, ratio = np.exp(np.log(found).mean(0))
            mark = "" if marks == {"="} else "at most " if marks <= {"=", "<"} else "about "
            cells.append(f"{mark}{size:.0f} ({ratio:.1f})")
        first = np.mean(
            [nearest(video["points"], codec, ours[video["clip"]])["picture"] for video in results["videos"]]
        )
        lines.append(f"| {codec} | " + " | ".join(cells) + f" | {first / 1000:.1f} kB |")
    return "\n".join(lines)


def nearest(points: list[dict[str, Any]], codec: str, ours: dict[str, float]) -> dict[str, Any]:
    """Return the setting of a codec with the PSNR nearest to ours."""
    return min((p for p in points if p["codec"] == codec), key=lambda p: abs(float(p["psnr"]) - ours["psnr"]))


def loss_table(results: dict[str, Any]) -> str:
    """Show the effect of packet loss."""
    lines = [
        "| loss | frames per key | bytes per frame | AKD to no loss | frames held | recovers after | at most |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results["loss"]:
        lines.append(
            f"| {row['loss']} | {row['interval']} | {row['bytes']:.1f} | {row['akd_px']:.2f} | {row['held']:.0%} | "
            f"{row['recovery_ms']:.0f} ms | {row['longest_ms']:.0f} ms |"
        )
    return "\n".join(lines)
