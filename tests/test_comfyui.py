"""The nodes for ComfyUI keep its contract, in both of its schemas. ComfyUI itself is not needed."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import subprocess
import sys
import types
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from vid2vid_cli import rotate
from vid2vid_cli.errors import NoFaceError
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import read_video
from vid2vid_cli.pipeline.options import Region, RotateOptions

ROOT = Path(__file__).resolve().parents[1]
PACK = ROOT / "integrations" / "comfyui"
PORTRAIT, DRIVING = ROOT / "examples" / "portrait.jpg", ROOT / "examples" / "driving.mp4"
FRAMES = slice(40, 44)  # of the driving, where the mouth opens
SIZE = 256


def load_pack(monkeypatch: pytest.MonkeyPatch, *, has_v3: bool) -> types.ModuleType:
    """Import the folder as ComfyUI does: from its place, under a name of no package."""
    for name in [each for each in sys.modules if each.startswith("/custom_nodes/vid2vid")]:
        monkeypatch.delitem(sys.modules, name)
    api = stand_in_api() if has_v3 else None
    monkeypatch.setitem(sys.modules, "comfy_api", None if api is None else types.ModuleType("comfy_api"))
    monkeypatch.setitem(sys.modules, "comfy_api.latest", api)
    specification = importlib.util.spec_from_file_location("/custom_nodes/vid2vid", PACK / "__init__.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, specification.name, module)
    specification.loader.exec_module(module)
    return module


# --- what ComfyUI's V3 interface takes, as far as the pack uses it: a keyword too many or a wrong one is an error ---


@dataclass
class Port:
    kind: str
    name: str
    settings: dict[str, Any] = field(default_factory=dict)


def port_type(kind: str, *allowed: str) -> type:
    def make_input(name: str, **settings: Any) -> Port:
        assert set(settings) <= {"tooltip", *allowed}, settings
        return Port(kind, name, settings)

    def make_output(*, display_name: str) -> Port:
        return Port(kind, display_name)

    return type(kind, (), {"Input": staticmethod(make_input), "Output": staticmethod(make_output)})


@dataclass
class Schema:
    node_id: str
    display_name: str
    category: str
    description: str
    inputs: list[Port]
    outputs: list[Port]


class NodeOutput:
    def __init__(self, *values: Any) -> None:
        self.result = values


def stand_in_api() -> types.ModuleType:
    api, io = types.ModuleType("comfy_api.latest"), types.ModuleType("io")
    io.__dict__.update(
        Image=port_type("IMAGE"),
        Mask=port_type("MASK"),
        Float=port_type("FLOAT", "default", "min", "max", "step"),
        String=port_type("STRING", "default"),
        Combo=port_type("COMBO", "default", "options"),
        Custom=port_type,
        Schema=Schema,
        NodeOutput=NodeOutput,
        ComfyNode=type("ComfyNode", (), {}),
    )
    api.__dict__.update(io=io, ComfyExtension=type("ComfyExtension", (), {}))
    return api


# --- registering ---


def test_starting_comfyui_imports_nothing_heavy() -> None:
    code = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('pack', {str(PACK / '__init__.py')!r})\n"
        "module = sys.modules['pack'] = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)\n"
        "assert len(module.NODE_CLASS_MAPPINGS) == 4\n"
        "for each in module.NODE_CLASS_MAPPINGS.values(): each.INPUT_TYPES()\n"
        "heavy = {'torch', 'numpy', 'numba', 'cv2', 'PIL', 'vid2vid_cli'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_it_pins_nothing() -> None:
    assert (PACK / "requirements.txt").read_text().split() == ["vid2vid"]


def test_both_schemas_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_pack(monkeypatch, has_v3=False)
    assert not hasattr(first, "comfy_entrypoint")
    newer = load_pack(monkeypatch, has_v3=True)
    assert not hasattr(newer, "NODE_CLASS_MAPPINGS"), "ComfyUI would take the older schema"
    classes = asyncio.run(asyncio.run(newer.comfy_entrypoint()).get_node_list())
    schemas = {schema.node_id: schema for schema in (each.define_schema() for each in classes)}
    assert list(schemas) == list(first.NODE_CLASS_MAPPINGS) == list(first.NODE_DISPLAY_NAME_MAPPINGS)
    for name, schema in schemas.items():
        old = first.NODE_CLASS_MAPPINGS[name]
        assert schema.display_name == first.NODE_DISPLAY_NAME_MAPPINGS[name]
        assert (schema.category, schema.description) == (old.CATEGORY, old.DESCRIPTION)
        assert [port.kind for port in schema.outputs] == list(old.RETURN_TYPES)
        assert [port.name for port in schema.outputs] == list(old.RETURN_NAMES)
        inputs = {}
        for port in schema.inputs:
            options = port.settings.pop("options", None)
            inputs[port.name] = (port.kind if options is None else options, port.settings)
        assert old.INPUT_TYPES() == {"required": inputs}


def test_every_input_is_an_argument_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    pack = load_pack(monkeypatch, has_v3=False)
    described = sys.modules[f"{pack.__name__}.descriptions"]
    work = importlib.import_module(".work", pack.__name__)
    for node in described.NODES:
        assert list(inspect.signature(getattr(work, node.work)).parameters) == [each.name for each in node.inputs]
    assert set(described.REGIONS) == set(Region.__args__)


# --- working ---


@dataclass
class Nodes:
    """Runs nodes as ComfyUI does in the first schema: a new object for each, inputs by name, a tuple back."""

    classes: dict[str, Any]

    def __call__(self, name: str, **given: Any) -> Any:
        node = self.classes[f"Vid2Vid{name}"]
        known = node.INPUT_TYPES()["required"]
        defaults = {key: settings["default"] for key, (_, settings) in known.items() if "default" in settings}
        assert set(given) <= set(known)
        result = getattr(node(), node.FUNCTION)(**{**defaults, **given})
        assert isinstance(result, tuple) and len(result) == len(node.RETURN_TYPES)
        return result[0]


@pytest.fixture(scope="module")
def nodes() -> Nodes:
    with pytest.MonkeyPatch.context() as patch:
        return Nodes(load_pack(patch, has_v3=False).NODE_CLASS_MAPPINGS)


@pytest.fixture(scope="module")
def portrait() -> Tensor:
    return as_images([read_image(PORTRAIT)[::2, ::2]])


@pytest.fixture(scope="module")
def person(nodes: Nodes, portrait: Tensor) -> Any:
    return nodes("LoadPerson", image=portrait)


def as_images(frames: list[Any]) -> Tensor:
    return torch.from_numpy(np.stack(frames)).float() / 255


def check_images(images: Tensor, count: int) -> None:
    assert (images.dtype, images.shape) == (torch.float32, (count, SIZE, SIZE, 3))
    assert images.min() >= 0 and 0.5 < images.max() <= 1


def test_reenact_gives_an_image_for_each_of_the_driving(nodes: Nodes, person: Any) -> None:
    driving = as_images([frame[::2, ::2] for frame in islice(read_video(DRIVING), FRAMES.start, FRAMES.stop)])
    images = nodes("Reenact", person=person, driving=driving, fps=29.97)
    check_images(images, len(driving))
    still = nodes("Reenact", person=person, driving=driving, strength=0.0)
    moved = (images - still).abs().mean((1, 2, 3))
    assert moved[-1] > 3 * moved[0] and (images[-1] - still[-1]).abs().max() > 0.2
    check_images(nodes("Reenact", person=person, driving=driving[-1:]), 1)


def test_rotate_gives_what_the_command_writes(nodes: Nodes, person: Any, portrait: Tensor, own_folder: Path) -> None:
    image = nodes("Rotate", person=person, yaw=20.0, expression="jawOpen=0.4")
    check_images(image, 1)
    Image.fromarray((portrait[0] * 255).round().byte().numpy()).save("a.png")
    options = RotateOptions(yaw="20", expression="jawOpen=0.4", watermark=False, credentials=False)
    rotate("a.png", "b.png", options, model=person.model)
    assert torch.equal(image, as_images([read_image("b.png")]))
    assert (image - portrait).abs().mean() > 0.02


def test_matte_tells_the_person_from_the_background(nodes: Nodes, portrait: Tensor) -> None:
    both = torch.cat([portrait, portrait.flip(2)])
    mask = nodes("Matte", image=torch.cat([both, torch.ones(2, SIZE, SIZE, 1)], 3))  # an alpha is left out
    assert (mask.dtype, mask.shape) == (torch.float32, (2, SIZE, SIZE))
    assert mask.min() >= 0 and mask.max() <= 1
    middle, corner = mask[:, 100:150, 110:150], mask[:, :20, :20]
    assert middle.min() > 0.9 and corner.min() < 0.1
    assert (mask[0] - mask[1].flip(1)).abs().mean() < 0.02


def test_a_picture_without_a_face_is_told_in_a_line(nodes: Nodes, portrait: Tensor) -> None:
    nobody = nodes("LoadPerson", image=torch.zeros(1, SIZE, SIZE, 3))
    with pytest.raises(NoFaceError) as caught:
        nodes("Reenact", person=nobody, driving=portrait)
    assert "\n" not in str(caught.value)


def test_the_newer_schema_does_the_same_work(nodes: Nodes, portrait: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = load_pack(monkeypatch, has_v3=True)
    load, _, _, matte = asyncio.run(asyncio.run(pack.comfy_entrypoint()).get_node_list())
    (person,) = load.execute(image=portrait, checkpoint="compact").result
    assert person.picture.shape == (SIZE, SIZE, 3) and person.model.family.name == "compact"
    (mask,) = matte.execute(image=portrait).result
    assert torch.equal(mask, nodes("Matte", image=portrait))
