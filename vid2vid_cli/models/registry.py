"""Which checkpoint families exist, and how a name or a file becomes a model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from vid2vid_cli.checkpoints.catalogue import DEFAULT_CHECKPOINT
from vid2vid_cli.checkpoints.reading import embedded_checkpoint, embedded_speech, find_checkpoint, read_checkpoint
from vid2vid_cli.checkpoints.tensor_names import why_no_family
from vid2vid_cli.errors import WeightsError, is_out_of_memory
from vid2vid_cli.face.matte import MatteNetwork, PersonMatte
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.models.base import Family, ReenactmentModel
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.facevid2vid.model import FaceVid2VidModel, is_facevid2vid
from vid2vid_cli.models.fomm.model import FommModel, is_fomm
from vid2vid_cli.models.liveportrait.model import LivePortraitModel, is_liveportrait
from vid2vid_cli.process.first_use import watch
from vid2vid_cli.process.numba_cache import survive_damage
from vid2vid_cli.speech.model import SpeechModel

# Asked in this order; the first that knows the tensors of a file builds its model.
FAMILIES = (
    Family(
        name="compact",
        detect=lambda tensors: "face.canonical" in tensors and "expression.basis" in tensors,
        build=CompactModel,
        names_expressions=True,
        is_embedded=True,
    ),
    Family(
        name="facevid2vid",
        detect=is_facevid2vid,
        build=FaceVid2VidModel,
        regions=frozenset({"all", "pose", "expression"}),
        request=frozenset({"adapt_scale"}),
    ),
    Family(
        name="liveportrait",
        detect=is_liveportrait,
        build=LivePortraitModel,
        request=frozenset({"stitch", "eyes", "lips", "retarget_eyes", "retarget_lips"}),
    ),
    Family(
        name="fomm",
        detect=is_fomm,
        build=FommModel,
        has_head_pose=False,  # its keypoints are learned places in the plane
        regions=frozenset({"all"}),
        request=frozenset({"adapt_scale"}),
    ),
)


@dataclass(frozen=True)
class LoadedModel:
    """A model with what it was loaded from: file name and sha256 of the checkpoint."""

    model: ReenactmentModel
    family: Family
    path: str
    sha256: str


def load_model(checkpoint: str = DEFAULT_CHECKPOINT) -> LoadedModel:
    """Load a checkpoint by its name or its path; the first family that knows its tensors builds it."""
    survive_damage()
    watch()
    path = find_checkpoint(checkpoint)
    file = embedded_checkpoint() if checkpoint == DEFAULT_CHECKPOINT else read_checkpoint(path)
    for family in FAMILIES:
        # A detected family may still find the file damaged: tensors missing (KeyError) or of other shapes.
        if family.detect(file.tensors):
            try:
                return LoadedModel(family.build(file.tensors), family, str(path), file.sha256)
            except WeightsError as error:
                raise WeightsError(f"{path}: {error}") from error
            except (KeyError, RuntimeError) as error:
                if is_out_of_memory(error):
                    raise
                raise WeightsError(f"{path}: a damaged {family.name} checkpoint ({error}); fetch it again") from error
    raise WeightsError(f"{path}: {why_no_family(file.tensors, [family.name for family in FAMILIES])}")


@lru_cache(maxsize=1)
def load_face_analyzer() -> FaceAnalyzer:
    """Load the face networks from the embedded checkpoint, once; they run on the processor."""
    return FaceAnalyzer.from_state(embedded_checkpoint().tensors)


@lru_cache(maxsize=1)
def load_speech_model() -> SpeechModel:
    """Load the networks that hear speech from the file beside the embedded checkpoint, once; on the processor."""
    return SpeechModel.from_state(embedded_speech().tensors)


@lru_cache(maxsize=1)
def load_person_matte() -> PersonMatte:
    """Load the network that finds the person from the embedded checkpoint, once; it runs on the processor."""
    network = MatteNetwork.from_state(embedded_checkpoint().tensors)
    if network is None:
        raise WeightsError("the checkpoint of the package has no matte.* tensors; install vid2vid again")
    return PersonMatte(network)
