"""`vid2vid verify` tells trusted, self-asserted, tampered and unsigned files apart, and reads those of other tools."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.clips import ffmpeg
from vid2vid_cli.cli.app import main
from vid2vid_cli.media.credentials import keys, signing
from vid2vid_cli.media.image import read_image, write_image
from vid2vid_cli.media.provenance import Provenance
from vid2vid_cli.pipeline.options import RotateOptions
from vid2vid_cli.pipeline.rotate import rotate

PORTRAIT = Path(__file__).parents[1] / "examples" / "portrait.jpg"
TRUSTED, SELF_ASSERTED, TAMPERED, NONE = 0, 6, 7, 8

pytestmark = pytest.mark.usefixtures("signing", "own_folder")
Told = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film and a picture of it, as commands make them."""
    folder = tmp_path_factory.mktemp("made")
    options = RotateOptions(yaw="-10:10:4", size=448, credentials=True, watermark=True)
    rotate(PORTRAIT, folder / "film.mp4", options)
    picture = Image.fromarray(read_image(PORTRAIT)).resize((512, 512))
    write_image(folder / "still.png", np.array(picture), provenance=Provenance(credentials=True, watermark=True))
    return folder


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    def told(*arguments: object) -> tuple[int, dict[str, Any]]:
        code = main(["verify", "--json", *map(str, arguments)])
        return code, json.loads(capsys.readouterr().out)

    return told


def test_a_film_says_who_made_it_from_what(made: Path, told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = told(made / "film.mp4")
    (one,) = found["files"]
    assert code == SELF_ASSERTED and found["worst"] == one["standing"] == "self-asserted" and one["is_own"]
    assert one["actions"][0] == "c2pa.created (compositeWithTrainedAlgorithmicMedia)"
    assert one["watermark"] == one["stated_watermark"] and one["watermark"].startswith("7632")
    assert one["made"]["command"] == "rotate" and [each["role"] for each in one["ingredients"]] == ["source"]
    assert main(["verify", str(made / "film.mp4")]) == SELF_ASSERTED
    text = capsys.readouterr().out
    assert "signed by your own key" in text and "yaw=-10:10:4" in text and "as the credentials say" in text
    assert main(["info", str(made / "film.mp4")]) == 0
    line = capsys.readouterr().out
    assert line.count("\n") == 1 and "self-asserted" in line


def test_an_issuer_that_is_trusted_makes_the_file_so(made: Path, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = keys.load().chain
    monkeypatch.setenv("VID2VID_CONFIG", str(Path("elsewhere").absolute()))
    code, found = told(made / "still.png")
    assert code == SELF_ASSERTED and not found["files"][0]["is_own"]
    assert found["files"][0]["faults"] == ["signingCredential.untrusted"]
    Path("issuers.pem").write_bytes(chain)
    assert told(made / "still.png", "--trust", "issuers.pem")[0] == TRUSTED
    Path("elsewhere").mkdir()
    shutil.copy("issuers.pem", Path("elsewhere") / keys.TRUSTED)
    assert told(made / "still.png")[0] == TRUSTED
    assert main(["verify", str(made / "still.png"), "--trust", str(PORTRAIT)]) == 1


def test_a_changed_film_is_tampered_and_still_watermarked(made: Path, told: Told) -> None:
    content = bytearray((made / "film.mp4").read_bytes())
    content[-2000] ^= 1
    Path("film.mp4").write_bytes(content)
    code, found = told("film.mp4")
    assert code == TAMPERED and found["files"][0]["faults"] == ["assertion.bmffHash.mismatch"]
    assert found["files"][0]["watermark"]


def test_streams_that_were_copied_keep_the_watermark_only(made: Path, told: Told) -> None:
    number = told(made / "film.mp4")[1]["files"][0]["watermark"]
    ffmpeg("-i", made / "film.mp4", "-c", "copy", "-y", "copied.mp4")
    code, found = told("copied.mp4")
    assert code == NONE and found["files"][0]["standing"] == "none" and found["files"][0]["watermark"] == number
    assert told("copied.mp4", "--no-watermark")[1]["files"][0]["watermark"] is None


def test_a_picture_that_was_saved_anew_keeps_the_watermark_only(made: Path, told: Told) -> None:
    number = told(made / "still.png")[1]["files"][0]["watermark"]
    Image.open(made / "still.png").convert("RGB").save("saved.jpg", quality=75)
    code, found = told("saved.jpg")
    assert code == NONE and found["files"][0]["watermark"] == number


def test_of_several_files_the_worst_counts(made: Path, told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    Path("changed.png").write_bytes((made / "still.png").read_bytes().replace(b"sha256:", b"sha255:") + b"\0")
    assert told(made / "still.png", PORTRAIT, "--no-watermark")[0] == NONE
    code, found = told(made / "still.png", PORTRAIT, "changed.png", "--no-watermark")
    assert code == TAMPERED and [each["standing"] for each in found["files"]] == ["self-asserted", "none", "tampered"]
    assert main(["verify", str(made / "still.png"), "nosuch.png"]) == 1
    out, err = capsys.readouterr()
    assert "self-asserted" in out and "nosuch.png" in err
    assert main(["verify", str(made)]) == SELF_ASSERTED and "film.mp4" in capsys.readouterr().out
    Path("empty").mkdir()
    assert main(["verify", "empty"]) == 1


def test_credentials_of_another_tool_are_read(told: Told) -> None:
    import c2pa

    taken = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
    created = {"action": "c2pa.created", "digitalSourceType": taken}
    assertions = [{"label": "c2pa.actions.v2", "data": {"actions": [created]}}]
    statement = {"claim_generator_info": [{"name": "a camera", "version": "3"}], "assertions": assertions}
    builder = c2pa.Builder(statement, context=signing._signer_context(keys.load_or_make()))
    with PORTRAIT.open("rb") as source, Path("photo.jpg").open("w+b") as target:
        builder.sign("image/jpeg", source, target)
    code, found = told("photo.jpg")
    (one,) = found["files"]
    assert code == SELF_ASSERTED and one["tool"] == "a camera 3" and one["made"] is None and one["watermark"] is None
    assert one["actions"] == ["c2pa.created (digitalCapture)"]


def test_what_is_no_picture_has_no_credentials(told: Told) -> None:
    Path("notes.txt").write_text("hello")
    assert told("notes.txt")[0] == NONE


def test_remains_of_credentials_are_no_clean_file(made: Path, told: Told) -> None:
    content = (made / "still.png").read_bytes()
    Path("cut.png").write_bytes(content.replace(b"caBX", b"caBx"))
    assert told("cut.png", "--no-watermark")[0] == TAMPERED
