"""`vid2vid serve --cluster` on a real Ray of this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clips import ffmpeg
from tests.support.processes import start
from tests.support.ray_cluster import running_ray
from tests.support.servers import serving, wait_until
from vid2vid_cli.media.video import probe_video

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="Ray and its processes are looked at on Linux")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running_ray() as address:
        yield address


def test_jobs_go_to_the_cluster_and_can_be_cancelled(address: str, material: Path, tmp_path: Path) -> None:
    clip = tmp_path / "long.mp4"
    ffmpeg("-stream_loop", "300", "-i", material / "d" / "nod.mp4", "-c", "copy", clip)
    with serving(tmp_path / "tmp", "--cluster", address) as server:
        face, nod, long = (server.send(path)["id"] for path in (material / "s/anna.png", material / "d/nod.mp4", clip))
        small = {"size": 64, "body": False}
        job = server.finished(server.ask_for("reenact", face, nod, options=small).json()["id"])
        assert job["state"] == "done", job
        (tmp_path / "made.mp4").write_bytes(server.client.get(f"/api/jobs/{job['id']}/result").content)
        assert probe_video(tmp_path / "made.mp4").frame_count == job["done"] == 8
        endless = server.ask_for("reenact", face, long, options=small).json()["id"]
        wait_until(lambda: server.client.get(f"/api/jobs/{endless}").json()["done"] > 0, 200)
        began = time.monotonic()
        assert server.client.delete(f"/api/jobs/{endless}").json()["state"] == "cancelled"
        assert time.monotonic() - began < 2
        after = server.finished(server.ask_for("rotate", face, options={"yaw": 5, "size": 64}).json()["id"])
        assert after["state"] == "done"
        refused = server.ask_for("rotate", face, options={"yaw": 5, "background": face})
        assert refused.status_code == 422 and "cluster" in refused.json()["error"]


def test_a_cluster_that_does_not_answer_is_told_in_a_line(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'vid2vid[cluster]'")
    process = start("serve", "--port", "0", "--cluster", "127.0.0.1:9", TMPDIR=str(tmp_path))
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (2, "") and not list(tmp_path.iterdir())
    assert err.startswith("error: --cluster 127.0.0.1:9: nothing answers there") and err.count("\n") == 1
