"""Run tests under every version of Python that is installed, each in an environment of its own: `make pythons`.

A version is supported if its tests have passed. One into which the package cannot be installed, or only that, is not.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
ENVIRONMENTS = REPOSITORY / "build" / "pythons"
OLDEST = (3, 10)
Version = tuple[int, ...]


def installed_pythons(folders: Iterable[Path]) -> dict[Version, Path]:
    """Find one interpreter of each minor version from 3.10 on, the newest there is of it."""
    newest: dict[Version, tuple[Version, Path]] = {}
    for folder in folders:
        for program in sorted(folder.glob("python3*")):
            version = version_of(program) if re.fullmatch(r"python3(\.\d+)?", program.name) else None
            if version is not None and version[:2] >= OLDEST and version > newest.get(version[:2], ((),))[0]:
                newest[version[:2]] = (version, program)
    return {minor: program for minor, (_, program) in sorted(newest.items())}


def version_of(program: Path) -> Version | None:
    """Ask an interpreter for its version; None if it does not start, as pyenv's stand-ins do not."""
    ask = "import sys, venv, ssl; print(*sys.version_info[:3])"
    try:
        done = subprocess.run([program, "-c", ask], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return tuple(map(int, done.stdout.split())) if done.returncode == 0 else None


def usual_folders() -> list[Path]:
    """Return the folders of pyenv's versions and those of PATH."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    return [*sorted(pyenv.glob("versions/*/bin")), *map(Path, os.environ.get("PATH", "").split(os.pathsep))]


def try_version(minor: Version, program: Path, tests: list[str]) -> tuple[bool, str]:
    """Install into a fresh or earlier environment, and run tests there. Return whether they passed, and a line."""
    folder = ENVIRONMENTS / dotted(minor)
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "-q", "-c", "constraints.txt"]
    steps = [] if python.exists() else [[str(program), "-m", "venv", str(folder)]]
    for step in (*steps, [*pip, "-e", ".[dev]"]):
        done = run(step)
        if done.returncode:
            return False, f"does not install: {last_line(done.stderr, 'ERROR')}"
    done = run([str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests])
    log = folder.with_suffix(f"{folder.suffix}.log")
    log.write_text(done.stdout + done.stderr, encoding="utf-8")
    return done.returncode == 0, f"{last_line(done.stdout) or last_line(done.stderr)}; see {log}"


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command in the repository."""
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def last_line(text: str, begins: str = "") -> str:
    """Return the last line that begins so, else the last of all."""
    lines = [line.strip("= ") for line in text.splitlines() if line.strip("= ")]
    return ([line for line in lines if line.startswith(begins)] or lines or [""])[-1]


def dotted(version: Version) -> str:
    """Write a version with points."""
    return ".".join(map(str, version))


def main() -> int:
    """Try the versions; exit code 1 unless all of them passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="versions such as '3.10 3.12'; default: all that are installed")
    parser.add_argument("tests", nargs="*", help="files of tests; default: all")
    given = parser.parse_args()
    wanted = given.only.split()
    found = installed_pythons(usual_folders())
    verdicts = []
    for minor, program in found.items():
        if not wanted or dotted(minor) in wanted:
            has_passed, line = try_version(minor, program, given.tests)
            verdicts.append(has_passed)
            sys.stdout.write(f"{dotted(minor):<6}{'passed' if has_passed else 'FAILED':<8}{line}\n")
            sys.stdout.flush()
    missing = [name for name in wanted if name not in map(dotted, found)]
    if missing:
        sys.stdout.write(f"not installed: {', '.join(missing)}\n")
    return 0 if verdicts and all(verdicts) and not missing else 1


if __name__ == "__main__":
    raise SystemExit(main())
