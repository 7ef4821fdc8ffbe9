"""Published checkpoints: pulled from a real server on this machine that behaves badly, verified, listed, found."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from checkpoints import save_liveportrait, save_public
from weights_server import COMMIT, Given, Server, serving

from vid2vid_cli.checkpoints import catalogue
from vid2vid_cli.checkpoints.catalogue import CATALOGUE, Checkpoint, CheckpointFile, HubAddress, Licence
from vid2vid_cli.checkpoints.download import DownloadRequest, RetryPolicy, download
from vid2vid_cli.checkpoints.reading import find_checkpoint, read_checkpoint
from vid2vid_cli.cli.app import main
from vid2vid_cli.errors import UsageError, WeightsError
from vid2vid_cli.pipeline.doctor import examine
from vid2vid_cli.pipeline.options import PullOptions
from vid2vid_cli.pipeline.progress import Hooks
from vid2vid_cli.pipeline.weights.inventory import list_weights, verify_weights, weights_path
from vid2vid_cli.pipeline.weights.pull import Pulled, pull_weights

HASTE = RetryPolicy(attempts=3, pause_s=0.0, silence_s=20.0)
NETWORK = ("HF_ENDPOINT", "VID2VID_MIRROR", "HF_HUB_OFFLINE", "VID2VID_OFFLINE", "HTTP_PROXY", "http_proxy")
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs signals and limits of POSIX")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a cache of its own, and no word of the network from outside."""
    for name in NETWORK:
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home [顔]"
    monkeypatch.setenv("VID2VID_HOME", str(home))
    return home


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as started:
        yield started


@pytest.fixture(scope="session")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small checkpoint in the public layout, of some hundred thousand bytes."""
    path = tmp_path_factory.mktemp("public") / "model.pth.tar"
    save_public(path, "vox-256, SPADE")
    return path.read_bytes()


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def published(content: bytes, name: str = "small", **changes: Any) -> Checkpoint:
    """Make a checkpoint of the catalogue whose file has this content."""
    file = CheckpointFile("model.pth.tar", len(content), sha256_of(content))
    return Checkpoint(name, "facevid2vid", (replace(file, **changes),), Licence("MIT"), 256)


@pytest.fixture
def small(content: bytes, server: Server, monkeypatch: pytest.MonkeyPatch) -> Given:
    """Publish the small checkpoint at a plain address; return how the server gives it."""
    publish(published(content, url=f"{server.url}/model.pth.tar"), monkeypatch)
    server.files["/model.pth.tar"] = Given(content)
    return server.files["/model.pth.tar"]


def publish(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "CATALOGUE", (*CATALOGUE, checkpoint))


def pull(name: str = "small", **options: Any) -> Pulled:
    return pull_weights(name, PullOptions(**{"via": "url", **options}), retry=HASTE)


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def state(name: str = "small") -> str:
    return next(each.state for each in list_weights() if each.checkpoint.name == name)


def test_a_pulled_checkpoint_is_whole_found_and_not_fetched_twice(
    small: Given, server: Server, content: bytes, own_home: Path
) -> None:
    seen: list[tuple[int, int | None]] = []
    pulled = pull_weights("small", PullOptions(via="url"), hooks=Hooks(progress=lambda *at: seen.append(at)))
    assert pulled.path == own_home / "weights" / "small" / "model.pth.tar"
    assert pulled.path.read_bytes() == content and (pulled.fetched, pulled.bytes) == (1, len(content))
    assert seen[-1] == (len(content), len(content))
    assert files_in(own_home) == ["weights/pulled.json", "weights/small/model.pth.tar"]
    assert find_checkpoint("small") == weights_path("small") == pulled.path
    assert read_checkpoint(pulled.path).sha256 == sha256_of(content)
    assert (pull().fetched, len(server.asked), state()) == (0, 1, "verified")
    assert (pull(force=True).fetched, len(server.asked)) == (1, 2)


def test_a_broken_connection_is_taken_up_where_it_broke(small: Given, server: Server, content: bytes) -> None:
    small.breaks = [1000, 2000, 3000, 4000]  # more than a download may fail without any progress
    assert pull().path.read_bytes() == content
    assert server.ranges() == [None, "bytes=1000-", "bytes=3000-", "bytes=6000-", "bytes=10000-"]


def test_a_later_pull_goes_on_from_what_an_earlier_one_left(
    small: Given, server: Server, content: bytes, own_home: Path
) -> None:
    small.breaks = [5000, 0, 0]
    with pytest.raises(WeightsError, match=r"broke at 5000 of \d+ bytes, after 3 tries; 5000 bytes are kept"):
        pull()
    assert files_in(own_home) == ["weights/small/model.pth.tar.part"]
    with pytest.raises(WeightsError, match="not on this machine; get them with vid2vid weights pull small"):
        find_checkpoint("small")
    server.asked.clear()
    assert pull().path.read_bytes() == content
    assert server.ranges() == ["bytes=5000-"]


def test_a_server_without_ranges_sends_all_again(small: Given, server: Server, content: bytes) -> None:
    small.breaks, small.has_ranges = [5000], False
    assert pull().path.read_bytes() == content
    assert server.ranges() == [None, "bytes=5000-"]


def test_a_busy_server_is_asked_again(small: Given, content: bytes) -> None:
    small.status = [503, 429]
    assert pull().path.read_bytes() == content


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html><html>Please log in</html>", "an HTML or XML page"),
        (b'{"error": "quota"}', "a JSON text"),
        (b"", "the server sends 0 bytes"),
    ],
)
@pytest.mark.parametrize("has_length", [True, False])
def test_what_is_sent_instead_of_weights_is_named(
    sent: bytes, words: str, has_length: bool, small: Given, own_home: Path
) -> None:
    small.content, small.has_length = sent, has_length
    with pytest.raises(WeightsError, match=words) as caught:
        pull()
    assert "/model.pth.tar: " in str(caught.value) and "\n" not in str(caught.value)
    assert files_in(own_home) == []


def test_a_file_of_another_size_is_not_even_fetched(small: Given, content: bytes, own_home: Path) -> None:
    small.content = content + b"more"
    with pytest.raises(WeightsError, match=rf"sends {len(content) + 4} bytes where {len(content)} are published"):
        pull()
    assert files_in(own_home) == []


def test_a_file_of_another_hash_is_thrown_away(small: Given, content: bytes, own_home: Path) -> None:
    small.content = content[:-1] + bytes([content[-1] ^ 1])
    with pytest.raises(
        WeightsError, match=f"the sha256 of what .* is [0-9a-f]*, but {sha256_of(content)} is published"
    ):
        pull()
    assert files_in(own_home) == []


def test_a_file_of_another_hash_never_replaces_a_right_one(small: Given, content: bytes, own_home: Path) -> None:
    pull()
    small.content = content[:-1] + bytes([content[-1] ^ 1])
    with pytest.raises(WeightsError, match="sha256"):
        pull(force=True)
    assert find_checkpoint("small").read_bytes() == content


@pytest.mark.parametrize("status", [404, 403, 410])
def test_a_file_that_is_not_there_is_told_at_once(status: int, small: Given, server: Server, own_home: Path) -> None:
    small.status = [status] * 9
    with pytest.raises(WeightsError, match=f"the server answers {status}"):
        pull()
    assert len(server.asked) == 1 and files_in(own_home) == []


def test_nobody_listening_is_told(content: bytes, monkeypatch: pytest.MonkeyPatch, own_home: Path) -> None:
    publish(published(content, url="http://127.0.0.1:9/model.pth.tar"), monkeypatch)
    with pytest.raises(WeightsError, match=r"no connection .* after 3 tries"):
        pull()
    assert files_in(own_home) == []


def test_a_part_longer_than_the_file_is_no_use(small: Given, content: bytes, own_home: Path) -> None:
    part = own_home / "weights" / "small" / "model.pth.tar.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * (len(content) + 1))
    assert pull().path.read_bytes() == content


def test_a_part_of_something_else_is_found_out_and_gone(small: Given, content: bytes, own_home: Path) -> None:
    part = own_home / "weights" / "small" / "model.pth.tar.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"PK\x03\x04" + b"x" * 5000)
    with pytest.raises(WeightsError, match="sha256"):
        pull()
    assert pull().path.read_bytes() == content


def test_two_sources_are_tried_in_turn(content: bytes, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    hub_file = HubAddress("who/what", "deep/model.pth.tar")
    publish(published(content, hub=hub_file, url=f"{server.url}/second"), monkeypatch)
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    server.files["/second"] = Given(content)
    assert pull().path.read_bytes() == content
    assert [path for _, path, _ in server.asked] == ["/who/what/resolve/main/deep/model.pth.tar", "/second"]


def test_a_mirror_goes_before_everything(
    small: Given, content: bytes, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["/mirror/small/model.pth.tar"] = Given(content)
    monkeypatch.setenv("VID2VID_MIRROR", f"{server.url}/mirror/")
    pull()
    pull(force=True, mirror=f"{server.url}/mirror")
    assert {path for _, path, _ in server.asked} == {"/mirror/small/model.pth.tar"}
    with pytest.raises(UsageError, match="not the address of a mirror"):
        pull(force=True, mirror="file:///etc")


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "VID2VID_OFFLINE"])
def test_offline_asks_nobody_but_takes_what_is_here(
    variable: str, small: Given, server: Server, monkeypatch: pytest.MonkeyPatch, own_home: Path
) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(WeightsError, match=f"{variable} is set, so nothing is fetched"):
        pull()
    place = own_home / "weights" / "small" / "model.pth.tar"
    place.parent.mkdir(parents=True)
    place.write_bytes(small.content)  # brought here by hand
    assert (pull().fetched, state()) == (0, "verified")
    assert server.asked == []


def test_nothing_but_pull_uses_the_network(small: Given, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["list"], ["verify"], ["verify", "small"], ["path", "small"], ["info", "small"], ["path"]):
        main(["weights", *words])
    main(["rotate", "x.png", "-c", "small", "--yaw", "3"])
    assert server.asked == []


def test_terms_are_to_be_accepted(content: bytes, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = replace(published(content, url=f"{server.url}/m"), licence=Licence("CC BY-NC 4.0", must_be_accepted=True))
    publish(closed, monkeypatch)
    server.files["/m"] = Given(content)
    with pytest.raises(WeightsError, match=r"licence: CC BY-NC 4\.0; add --accept-licence"):
        pull()
    assert server.asked == []
    assert pull(accept_licence=True).warnings == ("small: licence: CC BY-NC 4.0",)


def test_what_nobody_can_check_is_taken_on_trust_only(
    content: bytes, server: Server, monkeypatch: pytest.MonkeyPatch, own_home: Path
) -> None:
    server.files["/fomm/vox-cpk.pth.tar"] = Given(content)
    with pytest.raises(WeightsError, match=r"no sha256 of its file is known.*--trust-unverified"):
        pull("fomm", mirror=server.url)
    with pytest.raises(WeightsError, match=r"no address for programs is known.*fomm\.pth\.tar"):
        pull("fomm", trust_unverified=True)
    assert server.asked == []
    pulled = pull("fomm", mirror=server.url, trust_unverified=True)
    assert pulled.path.read_bytes() == content and "cannot be checked" in pulled.warnings[0]
    assert state("fomm") == "verified"
    pulled.path.write_bytes(content + b"x")  # it is held to what was trusted
    with pytest.raises(WeightsError, match=r"not the published file: .* not that of what was pulled"):
        find_checkpoint("fomm")
    own = own_home / "weights" / "fomm.pth.tar"
    own.write_bytes(content)
    assert (find_checkpoint("fomm"), state("fomm")) == (own, "own file")


def test_a_file_changed_after_the_pull_is_never_used(small: Given, content: bytes) -> None:
    path = pull().path
    times = path.stat()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(WeightsError, match=r"is not the published file: its sha256 is .*pull small fixes it"):
        find_checkpoint("small")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # the record believes it; reading it does not
    assert verify_weights("small")[0].state == "changed"
    pull(force=True)
    assert [each.state for each in verify_weights("small")] == ["verified"]
    path.write_bytes(content[:100])
    assert state() == "changed"
    assert pull().path.read_bytes() == content


def test_several_files_make_one_checkpoint(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, own_home: Path
) -> None:
    upstream = tmp_path / "upstream"
    tensors = save_liveportrait(upstream, upstream=True)
    files = tuple(
        replace(
            file, bytes=(upstream / file.path).stat().st_size, sha256=sha256_of((upstream / file.path).read_bytes())
        )
        for file in next(each for each in CATALOGUE if each.name == "liveportrait").files
    )
    publish(Checkpoint("lp", "liveportrait", files, Licence("MIT"), 512), monkeypatch)
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    for file in files:
        assert file.hub is not None
        server.files[f"/KwaiVGI/LivePortrait/resolve/main/{file.hub.path}"] = Given((upstream / file.path).read_bytes())
    server.files[f"/KwaiVGI/LivePortrait/resolve/main/liveportrait/{files[3].path}"].status = [404]
    with pytest.raises(WeightsError, match=r"warping_module\.pth: the server answers 404"):
        pull("lp")
    assert state("lp") == "incomplete"
    seen: list[tuple[int, int | None]] = []
    options = PullOptions(via="url")
    pulled = pull_weights("lp", options, hooks=Hooks(progress=lambda *at: seen.append(at)), retry=HASTE)
    assert (pulled.path, pulled.fetched, state("lp")) == (own_home / "weights" / "lp", 2, "verified")
    assert seen[-1][0] == seen[-1][1] and [at for at, _ in seen] == sorted(at for at, _ in seen)
    assert read_checkpoint(find_checkpoint("lp")).tensors.keys() == tensors.keys()


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
