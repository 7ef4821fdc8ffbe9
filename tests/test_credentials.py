"""Outputs are signed with a key that is made once; what cannot be signed is said, and never lost."""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.clips import ffmpeg
from vid2vid_cli.batch.node import pack_output, publish_output
from vid2vid_cli.call.decode import decode_call
from vid2vid_cli.call.encode import encode_call
from vid2vid_cli.cli.app import main
from vid2vid_cli.errors import CredentialsError
from vid2vid_cli.hashing import hash_file
from vid2vid_cli.media.credentials import keys, signing
from vid2vid_cli.media.credentials.making import new_signing_key
from vid2vid_cli.media.credentials.reading import Credentials, read_credentials
from vid2vid_cli.media.credentials.statement import A_FILE, COMPOSITE, MADE, public_settings
from vid2vid_cli.media.image import read_image, write_image
from vid2vid_cli.media.provenance import Ingredient, Provenance
from vid2vid_cli.media.video import WriteOptions, open_writer, read_video
from vid2vid_cli.pipeline import controls
from vid2vid_cli.pipeline.encode_options import EncodeOptions
from vid2vid_cli.pipeline.options import DecodeOptions, RotateOptions
from vid2vid_cli.pipeline.rotate import rotate

EXAMPLES = Path(__file__).parents[1] / "examples"
PORTRAIT, DRIVING = EXAMPLES / "portrait.jpg", EXAMPLES / "driving.mp4"
FRAME = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
INSIDE = ("a.mp4", "a.m4v", "a.mov", "a.gif", "a.webp", "a.png", "a.jpg", "still.webp")
BESIDE = ("a.webm", "a.mkv")

pytestmark = pytest.mark.usefixtures("signing", "own_folder")


class Heard:
    """Notes what a listener is told."""

    def __init__(self) -> None:
        self.warned: list[str] = []
        self.lost: list[str] = []
        self.warn, self.lose = self.warned.append, self.lost.append


@pytest.fixture
def own_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty configuration folder for one test."""
    place = tmp_path / "config" / "vid2vid"
    monkeypatch.setenv("VID2VID_CONFIG", str(place))
    return place


def origin(**changes: Any) -> Provenance:
    return Provenance(inputs=(Ingredient("source", PORTRAIT), Ingredient("driving", DRIVING)), **changes)


def write(name: str, provenance: Provenance | None = None) -> Path:
    path, provenance = Path(name), provenance or origin()
    if path.suffix in {".png", ".jpg"} or name == "still.webp":
        write_image(path, FRAME, provenance=provenance, force=True)
    else:
        with open_writer(
            path, FRAME.shape[:2], WriteOptions(Fraction(25), provenance=provenance, force=True)
        ) as writer:
            for shift in range(3):
                writer.write(np.roll(FRAME, 8 * shift, 1))
    return path


@pytest.mark.parametrize("name", [*INSIDE, *BESIDE])
def test_every_kind_of_file_is_signed_and_shows_the_same(name: str) -> None:
    found = read_credentials(write(name))
    assert (found.standing, found.is_own, found.faults) == ("self-asserted", True, ())
    assert (found.where == "beside") == (name in BESIDE) == Path(f"{name}.c2pa").exists()
    signed = [read_image(name)] if name.endswith(("png", "jpg", "still.webp")) else list(read_video(name))
    write(name, origin(credentials=False))
    assert read_credentials(Path(name)).standing == "none" and not Path(f"{name}.c2pa").exists()
    bare = [read_image(name)] if name.endswith(("png", "jpg", "still.webp")) else list(read_video(name))
    assert len(signed) == len(bare) and all(map(np.array_equal, signed, bare))


def test_every_frame_of_a_folder_is_signed() -> None:
    frames = sorted(write("frames").iterdir())
    assert len(frames) == 3 and all(read_credentials(frame).is_own for frame in frames)


def test_a_picture_that_moves_is_new_and_made_from_its_inputs() -> None:
    settings = {"yaw": "5:9:1", "background": "/home/me/beach.jpg", "checkpoint": "me.safetensors", "fps": "30000/1001"}
    made = origin(command="reenact", checkpoint="ab" * 32, settings=settings, edited_words=("never",))
    found = read_credentials(write("a.mp4", made))
    actions = found.assertion("c2pa.actions.v2")["actions"]
    assert [each["action"] for each in actions] == ["c2pa.created"]  # too small for a watermark
    assert actions[0]["digitalSourceType"] == COMPOSITE
    stated = {each["title"]: (each["instance_id"], each["relationship"]) for each in found.manifest["ingredients"]}
    hashes = {role: f"sha256:{hash_file(path)}" for role, path in (("source", PORTRAIT), ("driving", DRIVING))}
    assert stated == {role: (each, "inputTo") for role, each in hashes.items()}
    assert found.assertion(MADE) == {
        "version": found.assertion(MADE)["version"],
        "command": "reenact",
        "checkpoint_sha256": "ab" * 32,
        "edited_words": ["never"],
        "options": {"yaw": "5:9:1", "background": A_FILE, "fps": "30000/1001"},
        "file_type": Path("a.mp4").read_bytes()[:32].hex(),
    }
    content = Path("a.mp4").read_bytes()
    for secret in (b"portrait", b"driving.mp4", b"beach", b"me.safetensors", str(Path.cwd()).encode(), b"thumbnail"):
        assert secret not in content


def test_a_film_that_is_changed_was_opened_and_edited() -> None:
    found = read_credentials(write("a.png", origin(edited_role="source")))
    actions = found.assertion("c2pa.actions.v2")["actions"]
    assert [each["action"] for each in actions] == ["c2pa.opened", "c2pa.edited"]
    assert actions[1]["digitalSourceType"] == COMPOSITE
    relations = {each["title"]: each["relationship"] for each in found.manifest["ingredients"]}
    assert relations == {"source": "parentOf", "driving": "inputTo"}


def test_a_command_states_what_it_did() -> None:
    rotate(PORTRAIT, "a.png", RotateOptions(yaw="10", size=160))
    found = read_credentials(Path("a.png"))
    made = found.assertion(MADE)
    assert found.is_own and made["command"] == "rotate" and made["options"]["yaw"] == "10"
    assert len(made["checkpoint_sha256"]) == 64 and found.assertion("c2pa.soft-binding")
    rotate(PORTRAIT, "b.png", RotateOptions(yaw="10", size=160, credentials=False))
    assert read_credentials(Path("b.png")).standing == "none"


def test_a_decoded_call_states_that_it_was_decoded() -> None:
    encode_call(DRIVING, "a.v2v", EncodeOptions(fps="4", end="0.5", audio="none"))
    decode_call("a.v2v", "a.mp4", DecodeOptions(size=256))
    assert read_credentials(Path("a.mp4")).assertion(MADE)["command"] == "decode"


def test_a_sheet_of_expressions_states_that_controls_made_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controls, "NAMES", controls.NAMES[:2])
    controls.draw_controls(PORTRAIT, "a.png")
    assert read_credentials(Path("a.png")).assertion(MADE)["command"] == "controls"


def test_options_that_may_be_known() -> None:
    known = {"size": 512, "region": "all", "smooth": 0.3, "paste_back": True, "force": True, "crf": None}
    assert public_settings(known) == {"size": 512, "region": "all", "smooth": 0.3, "paste_back": True}
    assert set(public_settings({"a": "x/y.png", "b": "c:\\d", "e": "voice.wav"}).values()) == {A_FILE}


def test_the_key_belongs_to_the_user_alone(own_key: Path) -> None:
    write("a.png")
    file = own_key / keys.SIGNING
    assert [each.name for each in own_key.iterdir()] == [keys.SIGNING]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(own_key.stat().st_mode) == 0o700
    first = file.read_bytes()
    write("b.png")
    assert file.read_bytes() == first
    made = keys.load()
    assert len(made.certificates) == 2 and made.algorithm == "es256" and made.valid_until > "2060"


def test_two_commands_that_make_the_key_at_once_get_the_same(own_key: Path) -> None:
    code = "from vid2vid_cli.media.credentials.keys import load_or_make; print(load_or_make().fingerprint)"
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    told = {each.communicate()[0] for each in running}
    assert len(told) == 1 and len(told.pop()) == 65
    assert [each.name for each in own_key.iterdir()] == [keys.SIGNING]


def test_a_new_key_leaves_the_old_outputs_ones_own(own_key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("a.png")
    assert main(["credentials", "show", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert main(["credentials", "new", "--json"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert first["sha256"] != second["sha256"] and first["is_self_made"]
    signing._loaded.clear()
    write("b.png")
    assert read_credentials(Path("a.png")).is_own and read_credentials(Path("b.png")).is_own
    (own_key / keys.FORMER).unlink()
    assert read_credentials(Path("a.png")).standing == "self-asserted"
    assert not read_credentials(Path("a.png")).is_own and read_credentials(Path("b.png")).is_own


def test_a_key_of_ones_own(own_key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = new_signing_key()
    key, chain = whole.split(b"-----BEGIN CERTIFICATE-----", 1)
    Path("key.pem").write_bytes(key)
    Path("chain.pem").write_bytes(b"-----BEGIN CERTIFICATE-----" + chain)
    assert main(["credentials", "use", "chain.pem", "key.pem"]) == 0
    assert read_credentials(write("a.png")).is_own
    capsys.readouterr()
    other = new_signing_key().split(b"-----BEGIN CERTIFICATE-----", 1)[0]
    for content, says in (
        (other, "do not belong together"),
        (b"nonsense", "no private key"),
        (chain, "no private key"),
    ):
        Path("key.pem").write_bytes(content)
        assert main(["credentials", "use", "chain.pem", "key.pem"]) == 1
        assert says in capsys.readouterr().err
    assert main(["credentials", "use", "nosuch.pem", "key.pem"]) == 1 and "nosuch.pem" in capsys.readouterr().err
    Path("empty.pem").write_text("nothing\n")
    assert main(["credentials", "use", "empty.pem", "key.pem"]) == 1 and "no certificate" in capsys.readouterr().err


def _years(first: int, last: int) -> bytes:
    now = datetime.now(timezone.utc)
    return new_signing_key(now + timedelta(days=365 * first), now + timedelta(days=365 * last))


def _break(place: Path, how: str) -> None:
    place.mkdir(parents=True, exist_ok=True)
    content = {"expired": _years(-2, -1), "not yet": _years(1, 2), "damaged": b"-----BEGIN"}.get(how, b"")
    if how == "a folder":
        (place / keys.SIGNING).mkdir()
    else:
        (place / keys.SIGNING).write_bytes(content)


BROKEN = {"expired": "expired on", "not yet": "clock says", "damaged": "no private key", "a folder": "cannot be read"}


@pytest.mark.parametrize("how", BROKEN)
def test_a_key_that_cannot_be_used_is_said_before_the_work(
    how: str, own_key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _break(own_key, how)
    arguments = ["rotate", str(PORTRAIT), "--yaw", "5", "--size", "64", "-o", "a.png"]
    assert main(arguments) == 1
    told = capsys.readouterr().err
    assert BROKEN[how] in told and "--no-credentials" in told and not Path("a.png").exists()
    assert told.count("\n") == 1
    assert main([*arguments, "--no-credentials"]) == 0 and Path("a.png").exists()


@pytest.mark.parametrize("how", BROKEN)
def test_what_fails_at_the_end_keeps_the_output_and_says_so(how: str, own_key: Path) -> None:
    _break(own_key, how)
    heard = Heard()
    path = write("a.png", origin(log=heard))
    assert read_credentials(path).standing == "none" and heard.warned == []
    assert len(heard.lost) == 1 and BROKEN[how] in heard.lost[0] and "not signed" in heard.lost[0]


def test_without_a_place_for_a_key_outputs_are_made_unsigned_with_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").write_text("in the way")
    monkeypatch.setenv("VID2VID_CONFIG", str(Path("file") / "config"))
    assert main(["rotate", str(PORTRAIT), "--yaw", "5", "--size", "64", "-o", "a.png"]) == 0
    told = capsys.readouterr().err
    assert "warning: the output is not signed" in told and "file/config" in told
    monkeypatch.delenv("VID2VID_CONFIG")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(Path("nowhere").absolute()))
    with pytest.raises(CredentialsError, match="home does not exist"):
        keys.folder()
    monkeypatch.setattr(Path, "home", _no_home)
    with pytest.raises(CredentialsError, match="no home; set VID2VID_CONFIG"):
        keys.folder()


def test_where_the_folder_is_read_only_the_output_is_unsigned_with_a_word(
    own_key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    own_key.mkdir(parents=True)
    monkeypatch.setattr(keys.os, "open", refuse)
    heard = Heard()
    assert not signing.is_ready(origin(log=heard))
    assert len(heard.warned) == 1 and "not signed" in heard.warned[0] and "Read-only" in heard.warned[0]


def test_a_key_that_is_gone_is_made_anew(own_key: Path) -> None:
    write("a.png")
    (own_key / keys.SIGNING).unlink()
    assert read_credentials(write("b.png")).standing == "self-asserted"  # by the key that the process still has
    signing._loaded.clear()
    assert read_credentials(write("c.png")).is_own
    assert read_credentials(Path("a.png")).standing == "self-asserted" and not read_credentials(Path("a.png")).is_own


def _no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_what_is_too_large_is_signed_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "LARGEST_BYTES", 1000)
    heard = Heard()
    found = read_credentials(write("a.mp4", origin(log=heard)))
    assert found.is_own and found.where == "beside" and Path("a.mp4.c2pa").exists()
    assert len(heard.warned) == 1 and "beside it" in heard.warned[0]


def test_a_sidecar_goes_where_its_film_goes() -> None:
    packed = pack_output(write("a.webm"))
    publish_output(Path("b.webm"), packed)
    assert read_credentials(Path("b.webm")).is_own
    write("c.webm")
    Path("c.webm").write_bytes(Path("b.webm").read_bytes() + b"\0")
    assert read_credentials(Path("c.webm")).standing == "tampered"
    Path("d.webm").write_bytes(Path("b.webm").read_bytes())
    Path("d.c2pa").write_bytes(Path("b.webm.c2pa").read_bytes())  # as other tools call it
    assert read_credentials(Path("d.webm")).is_own


def flipped(path: Path, place: int) -> Credentials:
    content = bytearray(path.read_bytes())
    content[place] ^= 0x20
    changed = path.with_name(f"changed{path.suffix}")
    changed.write_bytes(content)
    return read_credentials(changed)


@pytest.mark.parametrize("name", ["a.mp4", "a.png", "a.jpg", "a.gif", "a.webp"])
def test_one_changed_byte_is_found(name: str) -> None:
    path = write(name)
    content = path.read_bytes()
    signed = content.find(b"sha256:")  # in the statement itself
    padding = content.find(b"cpadY") + 60  # which no hash covers
    box = content.find(b"jumdc2pa") - 12  # of which no hash covers the length
    for place in (signed + 9, len(content) // 2, len(content) - 40, padding, content.find(b"jumd") + 12, box + 3):
        assert flipped(path, place).standing == "tampered", place


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.png", "a.jpg"])
def test_every_byte_before_the_statement_counts(name: str) -> None:
    content = write(name).read_bytes()
    end = content.find(b"c2pa.assertions")
    for place in range(end - 200 if name.endswith("g") else 0, end):
        assert flipped(Path(name), place).standing == "tampered", (place, content[place - 8 : place + 8])


def test_the_kind_of_a_film_counts_and_earlier_versions_did_not_state_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert flipped(write("a.mp4"), 9).faults == ("a file type that has changed",)
    monkeypatch.setattr(signing, "file_type", lambda file: "")
    assert read_credentials(write("a.mp4")).is_own


def test_a_statement_too_long_for_one_segment_of_a_jpeg() -> None:
    path = write("a.jpg", origin(edited_words=tuple(f"word{number}" for number in range(9000))))
    content = path.read_bytes()
    assert content.count(b"\xff\xeb") > 1 and read_credentials(path).is_own
    assert flipped(path, content.rfind(b"JP\x02\x11") + 7).standing == "tampered"


def test_copying_the_streams_leaves_the_credentials_behind() -> None:
    ffmpeg("-i", write("a.mp4"), "-c", "copy", "-y", "b.mp4")
    assert read_credentials(Path("b.mp4")).standing == "none"


def test_nothing_is_fetched_for_a_file_that_points_to_its_credentials() -> None:
    import c2pa

    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.5)
    made = {"claim_generator_info": [{"name": "other", "version": "1"}], "assertions": []}
    builder = c2pa.Builder(made, context=signing._signer_context(keys.load_or_make()))
    builder.set_no_embed()
    builder.set_remote_url(f"http://127.0.0.1:{listener.getsockname()[1]}/credentials")
    source = write("a.png", origin(credentials=False))
    with source.open("rb") as bare, Path("b.png").open("w+b") as pointing:
        builder.sign("image/png", bare, pointing)
    assert b"http://127.0.0.1" in Path("b.png").read_bytes()
    read_credentials(Path("b.png"))
    with pytest.raises(TimeoutError):
        listener.accept()
    listener.close()


def test_help_loads_neither_c2pa_nor_cryptography() -> None:
    code = "import sys; from vid2vid_cli.cli.app import main; main(['--help']); print(*sys.modules, sep='\\n')"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split("\n")
    assert not {"c2pa", "cryptography", "cv2"} & set(told)
