"""Imports only go down, and the command line answers --help without the heavy libraries."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "vid2vid_cli"
FLOORS = {
    "__main__": 8,
    "cli": 7,
    "live": 6,
    "serve": 6,
    "__init__": 5,  # names the public API, and imports it when it is first used
    "batch": 5,
    "call": 5,
    "dubbing": 5,
    "evaluation": 5,
    "pipeline": 4,
    "models": 3,
    "checkpoints": 2,
    "codec": 2,
    "face": 2,
    "media": 2,
    "speech": 2,
    "habits": 1,
    "motion": 1,
    "motion_file": 1,
    "person_file": 1,
    "person_mark": 1,
    "process": 1,
    "smoothing": 1,
    "arrays": 0,
    "errors": 0,
    "geometry": 0,
    "hashing": 0,
    "home": 0,
    "near_names": 0,
    "version": 0,
}
PACKAGE = "__init__"
SHARED = ("layers", "fast")  # folders of models/ that are no families
SEPARATE = (2, 5, 6)  # floors whose rooms do not know each other
HEAVY = ("torch", "numba", "PIL", "numpy", "safetensors", "imageio_ffmpeg", "huggingface_hub", "constriction")


def fault(importer: str, imported: str) -> str | None:
    """Say what is wrong with an import; both names are without the leading `vid2vid_cli.`."""
    if imported == PACKAGE:
        return "of the package itself"
    here, there = importer.split("."), imported.split(".")
    if there[0] not in FLOORS:
        return "a module on no floor"
    if FLOORS[there[0]] > FLOORS[here[0]]:
        return "upward"
    if (
        FLOORS[there[0]] == FLOORS[here[0]]
        and FLOORS[here[0]] in SEPARATE
        and PACKAGE not in here
        and here[0] != there[0]
    ):
        return "sideways"
    if here[0] == there[0] == "models" and family_of(there) not in (None, family_of(here)):
        return None if importer == "models.registry" else "into a family"
    return None


def family_of(parts: list[str]) -> str | None:
    is_family = len(parts) > 1 and parts[1] not in SHARED and (ROOT / "models" / parts[1]).is_dir()
    return parts[1] if is_family else None


def circles(imports: dict[str, set[str]]) -> list[set[str]]:
    """Find the groups of modules that import each other, however far around (Tarjan, 1972)."""
    found: list[set[str]] = []
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_modules: list[str] = []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        open_modules.append(name)
        for other in sorted(imports.get(name, set())):
            if other not in order:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in open_modules:
                lowest[name] = min(lowest[name], order[other])
        if lowest[name] == order[name]:
            group = set(open_modules[open_modules.index(name) :])
            del open_modules[open_modules.index(name) :]
            if len(group) > 1 or name in imports.get(name, set()):
                found.append(group)

    for name in sorted(imports):
        if name not in order:
            visit(name)
    return found


def imports_of(path: Path) -> set[str]:
    """List the vid2vid modules that a file imports anywhere, also in functions and for types only."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import in line {node.lineno}"
            module = node.module or ""
            below = ROOT.joinpath(*module.split(".")[1:])
            modules = [name for name in (alias.name for alias in node.names) if is_module(below / name)]
            whole = len(modules) < len(node.names)
            found |= {f"{module}.{name}" for name in modules} | ({module} if whole else set())
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    inside = {name for name in found if name.split(".")[0] == "vid2vid_cli"}
    return {name.removeprefix("vid2vid_cli").lstrip(".") or PACKAGE for name in inside}


def is_module(path: Path) -> bool:
    return path.is_dir() or path.with_suffix(".py").is_file()


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or PACKAGE


def test_imports_go_down_only() -> None:
    files = sorted(ROOT.rglob("*.py"))
    assert len(files) > 40
    faults = [
        f"{name_of(path)} imports {imported}: {wrong}"
        for path in files
        for imported in sorted(imports_of(path))
        if (wrong := fault(name_of(path), imported))
    ]
    assert faults == []


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circles({name_of(path): imports_of(path) for path in ROOT.rglob("*.py")}) == []


def test_the_init_of_a_folder_is_its_description_alone() -> None:
    # Whoever imports a module runs these files as well: an import here would be one that no file shows.
    for path in ROOT.rglob("*/__init__.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert [type(node) for node in body] == [ast.Expr], path
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_circles_are_found_however_long() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == [{"a", "b", "c"}]
    assert circles({"a": {"b"}, "b": set(), "c": {"a", "b"}}) == []


@pytest.mark.parametrize(
    ("importer", "imported", "wrong"),
    [
        ("geometry.grid", "motion", "upward"),
        ("models.base", "pipeline.options", "upward"),
        ("pipeline.faces", "cli.console", "upward"),
        ("pipeline.scene", "call.sender", "upward"),
        ("checkpoints.reading", "models.base", "upward"),
        ("face.mesh", "media.video", "sideways"),
        ("media.video", "face.mesh", "sideways"),
        ("codec.space", "checkpoints.cache", "sideways"),
        ("batch.jobs", "call.decode", "sideways"),
        ("call.decode", "evaluation.run", "sideways"),
        ("live.outputs", "serve.app", "sideways"),
        ("call.decode", "live.outputs", "upward"),
        ("codec.space", "models.base", "upward"),
        ("models.base", "models.compact.model", "into a family"),
        ("models.layers.spade", "models.fomm.model", "into a family"),
        ("pipeline.faces", "helpers", "a module on no floor"),
        ("media.mark", "__init__", "of the package itself"),
        ("models.compact.model", "models.base", None),
        ("models.compact.model", "models.layers.blocks", None),
        ("models.registry", "models.compact.model", None),
        ("__init__", "pipeline.open_scene", None),
        ("motion", "errors", None),
        ("cli.app", "geometry.grid", None),
    ],
)
def test_the_rule_itself(importer: str, imported: str, wrong: str | None) -> None:
    assert fault(importer, imported) == wrong


def test_imports_are_seen_wherever_they_stand(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "import vid2vid_cli.motion\nfrom vid2vid_cli import errors\n"
        "def late():\n    from vid2vid_cli.media import ffmpeg\n    from vid2vid_cli.media.video import sniff\n"
    )
    assert imports_of(module) == {"motion", "errors", "media.ffmpeg", "media.video"}


@pytest.mark.parametrize(
    "statement",
    [
        "import vid2vid_cli.cli.app",
        "import vid2vid_cli.pipeline.options",
        "import vid2vid_cli.pipeline.weights.pull",
        "--help",
    ],
)
def test_the_command_line_starts_without_heavy_libraries(statement: str) -> None:
    code = statement
    if statement == "--help":
        code = "from vid2vid_cli.cli.app import main; assert main(['reenact', '--help']) == 0"
    report = f"import sys; {code}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
