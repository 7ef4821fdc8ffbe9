"""Published checkpoints pulled from a real server on this machine that behaves badly, verified and found."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.checkpoints import save_liveportrait
from tests.support.published import HASTE, files_in, publish, published, pull, sha256_of, state
from tests.support.weights_server import Given, Server
from vid2vid_cli.checkpoints.catalogue import CATALOGUE, Checkpoint, HubAddress, Licence
from vid2vid_cli.checkpoints.reading import find_checkpoint, read_checkpoint
from vid2vid_cli.cli.app import main
from vid2vid_cli.errors import UsageError, WeightsError
from vid2vid_cli.pipeline.progress import Hooks
from vid2vid_cli.pipeline.weights.inventory import verify_weights, weights_path
from vid2vid_cli.pipeline.weights.options import PullOptions
from vid2vid_cli.pipeline.weights.pull import pull_weights

pytestmark = pytest.mark.usefixtures("own_home", "own_signals")


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
