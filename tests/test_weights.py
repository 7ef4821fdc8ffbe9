"""Pulling and checkpoints as a user meets them: signals, full disks, the hub, `weights` and `doctor`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.published import HASTE, files_in, publish, published, pull, sha256_of, state
from tests.support.weights_server import COMMIT, Given, Server
from vid2vid_cli.checkpoints import catalogue
from vid2vid_cli.checkpoints.catalogue import CATALOGUE, HubAddress
from vid2vid_cli.checkpoints.download import DownloadRequest, download
from vid2vid_cli.checkpoints.reading import find_checkpoint
from vid2vid_cli.cli.app import main
from vid2vid_cli.errors import WeightsError
from vid2vid_cli.pipeline.doctor import examine
from vid2vid_cli.pipeline.progress import Hooks
from vid2vid_cli.pipeline.weights.inventory import weights_path
from vid2vid_cli.pipeline.weights.options import PullOptions
from vid2vid_cli.pipeline.weights.pull import pull_weights

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs signals and limits of POSIX")

pytestmark = pytest.mark.usefixtures("own_home", "own_signals")


@posix_only
def test_a_second_pull_at_the_same_time_is_refused(
    small: Given, server: Server, content: bytes, tmp_path: Path
) -> None:
    small.wait = threading.Event()
    wanted = DownloadRequest(
        f"{server.url}/model.pth.tar", tmp_path / "model.pth.tar", len(content), sha256_of(content)
    )
    first = threading.Thread(target=download, args=(wanted, lambda *_: None, HASTE))
    first.start()
    assert server.half_sent.wait(30)
    with pytest.raises(WeightsError, match="is being fetched by another vid2vid"):
        download(wanted, lambda *_: None, HASTE)
    small.wait.set()
    first.join(30)
    assert wanted.target.read_bytes() == content


CHILD = """
import json, resource, sys
from vid2vid_cli.checkpoints import catalogue
from vid2vid_cli.checkpoints.catalogue import Checkpoint, CheckpointFile, HubAddress, Licence
facts = json.loads(sys.argv[1])
hub = HubAddress(*facts["hub"]) if facts.get("hub") else None
file = CheckpointFile("model.pth.tar", facts["bytes"], facts["sha256"], hub, facts.get("url"))
catalogue.CATALOGUE += (Checkpoint("small", "facevid2vid", (file,), Licence("MIT"), 256),)
if facts.get("most"):
    resource.setrlimit(resource.RLIMIT_FSIZE, (facts["most"],) * 2)
from vid2vid_cli.cli.app import main
raise SystemExit(main(sys.argv[2:]))
"""


def start(facts: dict[str, Any], *words: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, json.dumps(facts), "weights", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, env={**os.environ, **environment}, **pipes)  # type: ignore[call-overload]


def facts_of(content: bytes, **more: Any) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": sha256_of(content), **more}


@posix_only
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_a_part_that_is_gone_on_with(
    number: signal.Signals, code: int, small: Given, server: Server, own_home: Path
) -> None:
    content = small.content
    small.wait = threading.Event()
    facts = facts_of(content, url=f"{server.url}/model.pth.tar")
    child = start(facts, "pull", "small", "--via", "url")
    assert server.half_sent.wait(60)
    part, half = own_home / "weights" / "small" / "model.pth.tar.part", len(content) // 2
    deadline = time.monotonic() + 60
    while not part.exists() or part.stat().st_size < half:
        assert child.poll() is None and time.monotonic() < deadline, "nothing came"
        time.sleep(0.02)
    child.send_signal(number)
    out, err = child.communicate(timeout=20)
    small.wait.set()
    assert (child.returncode, out) == (code, "") and "Traceback" not in err
    assert files_in(own_home) == ["weights/small/model.pth.tar.part"]
    assert part.stat().st_size == half
    server.asked.clear()
    assert pull().path.read_bytes() == content
    assert server.ranges() == [f"bytes={half}-"]


@posix_only
def test_a_full_disk_is_told_and_what_came_is_kept(
    small: Given, server: Server, content: bytes, own_home: Path
) -> None:
    facts = facts_of(content, url=f"{server.url}/model.pth.tar", most=20_000)
    out, err = (child := start(facts, "pull", "small", "--via", "url")).communicate(timeout=60)
    assert (child.returncode, out) == (4, "")
    assert err.count("\n") == 1 and "model.pth.tar: no room on the disk" in err and "VID2VID_HOME" in err
    assert (own_home / "weights" / "small" / "model.pth.tar.part").stat().st_size == 20_000
    server.asked.clear()
    assert pull().path.read_bytes() == content
    assert server.ranges() == ["bytes=20000-"]


def test_a_disk_too_small_for_the_file_is_told_before(
    small: Given, server: Server, monkeypatch: pytest.MonkeyPatch, own_home: Path
) -> None:
    free = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)  # nobody has a disk of this size at hand
    with pytest.raises(WeightsError, match=r"no room on the disk \(0\.\d MB are needed and 0\.0 MB are free\)"):
        pull()
    assert files_in(own_home) == []


@posix_only
def test_a_home_that_may_not_be_written_is_told(small: Given, own_home: Path) -> None:
    own_home.write_text("a file, not a folder")
    with pytest.raises(WeightsError, match=r"cannot be written.*set VID2VID_HOME to another folder"):
        pull()


def test_the_hub_is_asked_through_its_own_client(
    content: bytes, server: Server, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is missing; install the extra hub")
    hub_file = HubAddress("who/what", "deep/model.pth.tar")
    publish(published(content, hub=hub_file), monkeypatch)
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    given = Given(content)
    server.files["/who/what/resolve/main/deep/model.pth.tar"] = given
    seen: list[tuple[int, int | None]] = []
    pulled = pull_weights("small", PullOptions(via="hub"), hooks=Hooks(progress=lambda *at: seen.append(at)))
    cache = own_home / "hub" / "models--who--what"
    assert pulled.path == cache / "snapshots" / COMMIT / "deep" / "model.pth.tar"
    assert find_checkpoint("small").read_bytes() == content and state() == "verified"
    assert seen[-1] == (len(content), len(content))
    assert not (own_home / "weights" / "small").exists()
    server.asked.clear()
    (own_home / "weights" / "pulled.json").unlink()  # as when another program has fetched it
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert pull(via="auto").path == pulled.path and server.asked == []
    monkeypatch.delenv("HF_HUB_OFFLINE")
    pulled.path.resolve().write_bytes(content[:-1])  # damaged in the cache: fetched anew
    assert pull(via="auto").path.read_bytes() == content and server.asked != []


@pytest.mark.parametrize(("path", "words"), [("other", "404"), ("deep/model.pth.tar", "sha256|bytes")])
def test_the_hubs_failures_are_one_line(
    path: str, words: str, content: bytes, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is missing; install the extra hub")
    publish(published(content, hub=HubAddress("who/what", path)), monkeypatch)
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    server.files["/who/what/resolve/main/deep/model.pth.tar"] = Given(b"<html>" + content[:-6])
    with pytest.raises(WeightsError, match=words) as caught:
        pull(via="hub")
    assert "\n" not in str(caught.value)
    with pytest.raises(WeightsError, match="not on this machine"):
        find_checkpoint("small")


def test_the_commands_tell_people_and_programs(
    small: Given, server: Server, content: bytes, own_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str) -> tuple[int, str, str]:
        return (main(["weights", *words]), *capsys.readouterr())

    code, out, err = run("pull", "small", "--via", "url", "--json")
    facts = json.loads(out)
    assert (code, err, facts["bytes"], facts["licence"], facts["fetched"]) == (0, "", len(content), "MIT", 1)
    assert run("path", "small") == (0, f"{facts['path']}\n", "")
    code, out, _ = run("list", "--json")
    rows = {row["name"]: row for row in json.loads(out)["weights"]}
    assert rows.keys() == {each.name for each in catalogue.CATALOGUE}
    assert rows["small"]["state"] == rows["compact"]["state"] == "verified"
    assert rows["facevid2vid"]["bytes"] == 2112619148 and rows["facevid2vid"]["licence_must_be_accepted"]
    code, out, err = run("list")
    assert code == 0 and len(out.splitlines()) == 1 + len(rows) and "not here" in out and "CC BY-NC" in out
    code, out, _ = run("verify", "--json")
    assert code == 0 and json.loads(out)["ok"]
    Path(facts["path"]).write_bytes(content[:9])
    code, out, err = run("verify", "small")
    assert code == 4 and "changed" in out and err.count("\n") == 1 and "pull small fixes it" in err
    assert "has 9 bytes" in run("path", "small")[2]
    assert run("path", "fomm")[0] == 4 and run("pull", "nothing")[0] == 2
    assert run("pull", "small", "--loud")[2].endswith("; see vid2vid weights pull --help\n")
    assert run()[0] == 2
    code, out, err = run("pull", "compact")
    assert code == 0 and "nothing to fetch" in out


def test_a_missing_checkpoint_says_how_to_get_it_and_where_ones_own_goes(
    capsys: pytest.CaptureFixture[str], own_home: Path
) -> None:
    for name in ("facevid2vid", "liveportrait", "fomm"):
        assert main(["rotate", "x.png", "--yaw", "3", "-c", name]) == 4
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and f"vid2vid weights pull {name}" in said
        assert str(own_home / "weights" / f"{name}.safetensors") in said


def test_the_cache_is_where_it_is_said_to_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VID2VID_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert weights_path() == tmp_path / "xdg" / "vid2vid" / "weights"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert weights_path() == Path.home() / ".cache" / "vid2vid" / "weights"


def test_doctor_tells_of_pulled_weights(small: Given, content: bytes) -> None:
    def found() -> Any:
        return next(check for check in examine() if check.name == "pulled weights")

    assert found().ok and "none" in found().found
    path = pull().path
    assert found().ok and "small verified" in found().found
    path.write_bytes(content[:9])
    assert not found().ok and "has 9 bytes" in found().found and "weights pull" in found().cure


def test_the_catalogue_is_sound() -> None:
    names = [checkpoint.name for checkpoint in CATALOGUE]
    assert len(set(names)) == len(names)
    for checkpoint in CATALOGUE:
        for file in checkpoint.files:
            assert file.sha256 is None or len(bytes.fromhex(file.sha256)) == 32
            assert not Path(file.path).is_absolute() and ".." not in Path(file.path).parts
        assert checkpoint.is_pinned or checkpoint.name in ("compact", "fomm")
