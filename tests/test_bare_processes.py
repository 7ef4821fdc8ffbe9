"""Processes as daemons, containers and pipes start them: without streams, home, name, folder or room."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.clips import ffmpeg
from tests.support.processes import MODULE
from vid2vid_cli.errors import describe_failure
from vid2vid_cli.media.video import probe_video
from vid2vid_cli.models import registry
from vid2vid_cli.process import numba_cache
from vid2vid_cli.process.first_use import FEW, NOTICE

ROOT = Path(__file__).resolve().parents[1]
OPTIONS = ("--driving-face", "--retarget-eyes", "--retarget-lips", "--reference-frame", "--relative", "--absolute-pose")
NOBODY = 54321

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits, users and descriptors of POSIX")


@pytest.fixture
def face(media_dir: Path, own_folder: Path) -> Path:
    """A folder with face.png and nod.mp4 of three frames."""
    Image.open(media_dir / "sources" / "s27_ai_woman.png").convert("RGB").resize((192, 192)).save("face.png")
    ffmpeg("-i", media_dir / "drivings" / "d14_actor_left_turn_256.mp4", "-frames:v", "3", "nod.mp4")
    return own_folder


def run(command: str, *, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a line of shell in which `vid2vid` is the program."""
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HOME": "/nowhere"}
    program = f'vid2vid() {{ {" ".join(MODULE)} "$@"; }}; {command}'
    environment = given if environment is None else environment
    return subprocess.run(["bash", "-c", program], capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize("closed", ["2>&- -q", ">&-", ">&- 2>&- <&-", "<&-"])
def test_a_film_is_made_without_standard_streams(closed: str, face: Path) -> None:
    ended = run(f"vid2vid reenact face.png nod.mp4 -o o.mp4 {closed}")
    assert ended.returncode == 0 and "unexpected" not in ended.stderr
    assert probe_video("o.mp4").frame_count == 3


@pytest.mark.parametrize("words", ["--version", "--help", "controls", "reenact none.png none.mp4"])
def test_other_commands_without_standard_streams(words: str, own_folder: Path) -> None:
    expected = run(f"vid2vid {words}").returncode
    ended = run(f"vid2vid {words} >&-")
    assert ended.returncode == expected and "unexpected" not in ended.stderr


def test_a_live_call_without_standard_input_is_told_in_a_line(own_folder: Path) -> None:
    ended = run("vid2vid encode - --live -o c.v2v <&-")
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1 and "unexpected" not in ended.stderr


def test_a_folder_that_is_gone_is_named(own_folder: Path) -> None:
    for words in ("doctor", f"rotate {own_folder / 'face.png'} --yaw 5 -o {own_folder / 'o.png'}"):
        ended = run(f"mkdir gone; cd gone; rmdir ../gone; vid2vid {words}")
        assert ended.returncode == 1 and "the folder in which vid2vid was started is gone" in ended.stderr


@pytest.mark.parametrize("words", ["--help", "reenact --help", "controls", "weights list"])
def test_a_reader_that_has_seen_enough_is_no_failure(words: str) -> None:
    ended = run(f"set -o pipefail; vid2vid {words} | head -1")
    assert ended.returncode == 0 and ended.stderr == ""


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 100, 200])
def test_no_width_cuts_the_name_of_an_option(columns: int) -> None:
    page = run(f"COLUMNS={columns} vid2vid reenact --help").stdout
    assert all(option in page for option in OPTIONS) and "--driv…" not in page
    assert page.count("--retarget-eyes") == 1


@pytest.mark.parametrize("words", ["rotate --yaw 5 -o o.png", "info o.png", "serve --port 0"])
@pytest.mark.parametrize("megabytes", [400, 800, 1500])
def test_too_little_address_space_is_told_before_anything_crashes(megabytes: int, words: str, own_folder: Path) -> None:
    if words.startswith("serve"):
        pytest.importorskip("uvicorn", reason="needs pip install 'vid2vid[serve]'")
    ended = run(f"ulimit -v {megabytes * 1024}; timeout 60 {' '.join(MODULE)} {words}")
    assert ended.returncode == 1 and "address space is limited" in ended.stderr and ended.stderr.count("\n") == 1


@pytest.mark.parametrize("is_file", [False, True])
def test_memory_that_runs_out_makes_no_damaged_checkpoint(is_file: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(_tensors: object) -> NoReturn:
        if is_file:
            raise RuntimeError("unable to mmap 4815266 bytes from file </w>: Cannot allocate memory (12)")  # torch's
        raise AssertionError(torch.empty(1 << 60))

    monkeypatch.setattr(registry, "FAMILIES", tuple(replace(each, build=build) for each in registry.FAMILIES))
    with pytest.raises(RuntimeError) as caught:
        registry.load_model()
    assert describe_failure(caught.value)[0].startswith("out of memory")


# --- containers ---


def test_pictures_are_made_where_nothing_tells_of_the_processor(face: Path) -> None:
    hidden = "unshare --mount bash -c 'mount -t tmpfs none /proc && exec \"$@\"' -"
    if run(f"{hidden} true").returncode:
        pytest.skip("/proc can be hidden by root of Linux alone")
    ended = run(f"{hidden} {' '.join(MODULE)} rotate face.png --yaw 5 -o o.png")
    assert ended.returncode == 0 and "damaged" not in ended.stderr and "NNPACK" not in ended.stderr
    assert run("vid2vid rotate face.png --yaw 5 -o p.png").returncode == 0
    one, two = (np.asarray(Image.open(name), np.float32) for name in ("o.png", "p.png"))
    assert np.abs(one - two).max() < 4  # the same networks, with other instructions


def test_a_user_without_name_and_home_can_work_in_a_read_only_installation(face: Path) -> None:
    # It may read everything, since the Python of tests may lie where others see nothing, but write nothing.
    reads = "--inh-caps=+dac_read_search --ambient-caps=+dac_read_search"
    nobody = f"setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups {reads}"
    bare = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TMPDIR": str(face)}
    if run(f"{nobody} true").returncode:
        pytest.skip("only root of Linux can become another user")
    face.chmod(0o777)

    def as_nobody(words: str) -> subprocess.CompletedProcess[str]:
        return run(f"{nobody} {' '.join(MODULE)} {words}", environment=bare)

    ended = as_nobody("rotate face.png --yaw 5 -o o.png")
    assert ended.returncode == 0, ended.stderr
    assert "not signed" in ended.stderr and "VID2VID_CONFIG" in ended.stderr
    folder = face / f"vid2vid-numba-{NOBODY}"
    assert folder.stat().st_mode & 0o077 == 0 and list(folder.rglob("*.nbc"))
    assert as_nobody("verify o.png").returncode == 8
    ended = as_nobody("rotate face.png --yaw 5 -o p.png -c '~/none.pth'")
    assert ended.returncode == 4 and ended.stderr.count("\n") == 1 and "no such checkpoint" in ended.stderr
    ended = as_nobody("weights path")
    assert ended.returncode == 4 and "set VID2VID_HOME" in ended.stderr
    ended = run(f"{nobody} {' '.join(MODULE)} doctor", environment={**bare, "HOME": "/"})
    assert "BAD" not in ended.stdout and "/.config/vid2vid cannot be made" in ended.stdout
    found = as_nobody("doctor")
    assert "BAD" not in found.stdout and "this user has no home" in found.stdout


@pytest.mark.parametrize("is_foreign", [False, True])
def test_a_cache_that_others_can_write_to_is_not_used(
    is_foreign: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numba_cache.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(numba_cache.tempfile, "tempdir", str(tmp_path))
    expected = tmp_path / f"vid2vid-numba-{os.getuid()}"
    if is_foreign:
        expected.mkdir(mode=0o777)
        expected.chmod(0o777)
    made = numba_cache._own_temporary_folder()
    assert made is not None and (made == expected) is not is_foreign and made.stat().st_mode & 0o022 == 0


PROGRAM = (
    "import numba; from vid2vid_cli.process.numba_cache import survive_damage as s; s();"
    "import double; print(double.double(4), sum(double.double.stats.cache_hits.values()))"
)


def ask(folder: Path) -> str:
    """Double a number by what is compiled in a folder; return the result and whether it came from the cache."""
    path = os.pathsep.join((str(folder), str(ROOT)))
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, check=True
    ).stdout.strip()


def test_a_user_is_told_once_that_a_first_use_compiles(tmp_path: Path) -> None:
    functions = [f"@numba.njit(cache=True)\ndef f{number}(x):\n    return x + {number}\n" for number in range(FEW + 2)]
    (tmp_path / "many.py").write_text("import numba\n" + "\n".join(functions))
    program = (
        "import sys; from vid2vid_cli.process.first_use import telling, watch; watch(); import many\n"
        "with telling(print):\n    for number in range(int(sys.argv[1])): getattr(many, f'f{number}')(1)"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}

    def told(count: int) -> str:
        run = [sys.executable, "-c", program, str(count)]
        return subprocess.run(run, capture_output=True, text=True, env=environment, check=True).stdout.strip()

    assert (told(FEW), told(FEW + 2)) == ("", "")  # by and by, nobody waits
    for file in tmp_path.rglob("*.nb[ci]"):
        file.unlink()
    assert (told(FEW + 2), told(FEW + 2)) == (NOTICE, "")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a function and its cache, which works."""
    folder = tmp_path_factory.mktemp("compiled")
    (folder / "double.py").write_text("import numba\n@numba.njit(cache=True)\ndef double(x):\n    return 2 * x\n")
    assert (ask(folder), ask(folder)) == ("8 0", "8 1")
    return folder


@pytest.mark.parametrize("damage", ["empty index", "cut code", "text in index"])
def test_a_damaged_cache_is_compiled_again(damage: str, compiled: Path) -> None:
    for file in (compiled / "cache").rglob("*.nb[ci]"):
        if damage == "cut code" and file.suffix == ".nbc":
            file.write_bytes(file.read_bytes()[:200])
        if damage != "cut code" and file.suffix == ".nbi":
            file.write_bytes(b"" if damage == "empty index" else pickle.dumps("0.1"))
    assert (ask(compiled), ask(compiled)) == ("8 0", "8 1")  # whole again for the next damage


@pytest.mark.parametrize("writable", ["package", "cache", "neither"])
def test_numba_is_helped_only_where_it_would_find_no_place(
    writable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = {"package": numba_cache._PACKAGE, "cache": tmp_path / "home" / ".cache"}
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv(numba_cache.VARIABLE, "")
    monkeypatch.setattr(numba_cache, "is_writable", lambda folder: folder == folders.get(writable))
    numba_cache.choose_folder()
    chosen = os.environ[numba_cache.VARIABLE]
    assert (chosen != "") is (writable == "neither") and (not chosen or "vid2vid-numba-" in chosen)
