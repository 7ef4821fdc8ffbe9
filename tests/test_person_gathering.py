"""Who is gathered, and which views are kept: strangers, hands and blur are left out, each with a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.clips import ffmpeg
from tests.support.people import made_up_facts
from vid2vid_cli.cli.app import main
from vid2vid_cli.errors import NoFaceError, OutputExistsError, UsageError
from vid2vid_cli.face.mesh import Face, FaceAnalyzer, face_from_landmarks, select_face
from vid2vid_cli.geometry.keypoints import Similarity
from vid2vid_cli.geometry.rotation import rotation_from_pose
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import read_video
from vid2vid_cli.models.compact.likeness import load_likeness
from vid2vid_cli.models.compact.motion_layout import unit_points
from vid2vid_cli.motion import Motion
from vid2vid_cli.person_file import Facts, StoredView, load_person
from vid2vid_cli.pipeline.person.candidates import MOST_CANDIDATES, Candidate, Candidates, main_score, spread_out
from vid2vid_cli.pipeline.person.clip_faults import added_relief, drop_unfit
from vid2vid_cli.pipeline.person.crowd import Somebody
from vid2vid_cli.pipeline.person.identity import fit_identity
from vid2vid_cli.pipeline.person.measuring import CELLS, FaceReader, FaceReading, relief_of
from vid2vid_cli.pipeline.person.options import PersonalizeOptions
from vid2vid_cli.pipeline.person.personalize import Personalized, personalize
from vid2vid_cli.pipeline.person.same_person import OTHER, SAME, Portrait
from vid2vid_cli.pipeline.progress import Hooks

NOWHERE = Face((0, 0, 1, 1), np.zeros((470, 3), np.float32), 1.0)


def made_up_reading(facts: Facts, relief: float = 0.02) -> FaceReading:
    motion = Motion(torch.eye(3)[None], torch.zeros(1, 3), torch.ones(1, 1), torch.zeros(1, 469, 3))
    reliefs = np.full((CELLS, CELLS), relief, np.float32)
    return FaceReading(NOWHERE, motion, np.zeros((468, 3), np.float32), facts, np.zeros(4, np.float32), reliefs, 0.0)


def candidate(**facts: float) -> Candidate:
    measured = made_up_facts(**facts)
    return Candidate(StoredView(b"", NOWHERE.landmarks_px, measured), made_up_reading(measured))


def personalized(sources: Sequence[Path], target: Path, **options: object) -> tuple[Personalized, list[str]]:
    warnings: list[str] = []
    given = PersonalizeOptions(threads=1, **options)  # type: ignore[arg-type]
    return personalize(sources, target, given, hooks=Hooks(warn=warnings.append)), warnings


# --- choosing ---


def test_views_are_chosen_for_what_they_add() -> None:
    views = [candidate(yaw=0.01), candidate(yaw=0.5), candidate(yaw=0.52), candidate(mouth_height=0.4), candidate()]
    chosen = spread_out(views, 9, [made_up_facts()], least=0.7)
    assert chosen == [3, 2], "a wide mouth adds four units, the side two and a half; the rest nothing"
    assert spread_out(views, 1, [made_up_facts()]) == [3]
    assert spread_out(views[::-1], 9, [made_up_facts()], least=0.7) == [1, 2], "whatever the order"
    assert spread_out([], 3) == []


def test_a_sharp_view_is_better_than_a_blurred_one() -> None:
    views = [candidate(yaw=0.50, sharpness=0.02), candidate(yaw=0.48, sharpness=0.1)]
    assert spread_out(views, 1, [made_up_facts()]) == [1]


def test_the_main_view_faces_the_camera_at_rest() -> None:
    rest = made_up_facts()
    for worse in (
        {"yaw": 0.3},
        {"pitch": -0.3},
        {"mouth_height": 0.1},
        {"left_lid": 0.1},
        {"sharpness": 0.05},
        {"size_px": 20.0},
    ):
        assert main_score(made_up_facts(**worse)) < main_score(rest), worse


def test_candidates_stay_few() -> None:
    candidates = Candidates(keeps_main=False)
    frame = np.zeros((64, 64, 3), np.uint8)
    points = np.random.default_rng(1).uniform(20, 40, (470, 3)).astype(np.float32)
    for number in range(MOST_CANDIDATES + 50):
        facts = made_up_facts(yaw=0.25 * (number % 20), mouth_height=0.11 * (number // 20))
        candidates.offer(frame, replace(made_up_reading(facts), face=face_from_landmarks(points, 1.0)))
    assert 100 < len(candidates.found) <= MOST_CANDIDATES
    turned = [each.facts.yaw for each in candidates.found.values()]
    assert (min(turned), max(turned)) == (0, 0.25 * 19), "the most unlike are kept"
    assert candidates.main is None


# --- faults ---


def test_a_hand_before_the_face_is_seen_in_the_whole_clip() -> None:
    usual = np.full((CELLS, CELLS), 0.02, np.float32)
    usual[2:4] = 0.2  # brows and eyes are rough in every frame
    hand, turned = usual.copy(), usual.copy()
    hand[6:11, 2:7] += 0.15
    turned[:, 6:] = np.nan
    added = added_relief(np.stack([usual, hand, turned]), usual)
    assert added[0] == added[2] == 0
    assert added[1] > 0.1
    light = np.zeros((96, 96), np.float32)
    assert np.isnan(relief_of(light, np.ones_like(light), yaw=0.6)).all(), "a turned head has relief of its own"
    assert not np.isnan(relief_of(light, np.ones_like(light), yaw=0.1)).any()


def test_blurred_and_hidden_frames_are_dropped_with_the_main_view() -> None:
    somebody = Somebody(Portrait(np.zeros(4, np.float32), 0), 0, 0, NOWHERE)
    kinds = [("fit", 0.1, 0.02)] * 9 + [("blurred", 0.02, 0.02), ("hidden", 0.1, 0.3)]
    for number, (_, sharpness, relief) in enumerate(kinds):
        reading = made_up_reading(made_up_facts(yaw=number / 3, sharpness=sharpness), relief)
        somebody.sharpness.append(sharpness)
        somebody.reliefs.append(reading.relief)
        kept = Candidate(StoredView(b"", NOWHERE.landmarks_px, reading.facts), reading)
        somebody.candidates.found[(number,)] = somebody.candidates.main = kept
    assert drop_unfit(somebody) == {"blurred": 1, "hidden by something": 1}
    assert sorted(somebody.candidates.found) == [(number,) for number in range(9)]
    assert somebody.candidates.main is somebody.candidates.found[(0,)]


# --- the shape of the head ---


def test_all_views_together_know_the_head_better_than_one() -> None:
    model, rng = FaceReader().model, np.random.default_rng(3)
    smooth = torch.from_numpy(rng.normal(size=(9, 3))).float()
    around = torch.cdist(model.topology.canonical, model.topology.canonical[::55][:9])
    head = model.topology.canonical + 0.05 * torch.softmax(-around / 0.2, 1) @ smooth
    readings = []
    for yaw in torch.linspace(-0.5, 0.5, 9):
        turned = head @ rotation_from_pose(yaw[None], 0.3 * yaw[None], 0 * yaw[None])[0].T
        noise = torch.from_numpy(rng.normal(size=(468, 3))).float() * torch.tensor([0.01, 0.01, 0.08])
        px = (turned * torch.tensor([1.0, 1.0, 0.7]) + noise) * 60 + torch.tensor([128.0, 128.0, 0.0])
        px = torch.cat([px, px[[159, 386]]])
        motion = model.motion(None, px[None], (256, 256))
        pose = Similarity(motion.scale, motion.rotation, motion.translation)
        own = pose.undo(unit_points(px[None], (256, 256))[:, :468])[0].numpy()
        face = face_from_landmarks(px.numpy(), 1.0)
        readings.append(replace(made_up_reading(made_up_facts()), face=face, motion=motion, head=own))

    def error(shape: np.ndarray) -> float:
        return float((torch.from_numpy(shape) - head).norm(dim=1).mean())

    together = error(fit_identity(model, readings))
    assert together < 0.7 * error(fit_identity(model, readings[:1]))
    each = [reading.head - model.without_shape(reading.motion)[0, :468].numpy() for reading in readings]
    assert together < 0.9 * error(np.mean(each, axis=0)), "depth is guessed too flat, and seen from two sides"


# --- whose face it is ---


@pytest.fixture(scope="module")
def folder(media_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A man in two pictures, a woman, and a second in which he is seen beside an actor."""
    home = tmp_path_factory.mktemp("people")
    clip = media_dir / "drivings" / "d01_ai_man_turning_audio.mp4"
    frames = list(read_video(clip))
    Image.fromarray(frames[0]).save(home / "front.png")
    Image.fromarray(frames[60]).save(home / "other.png")
    Image.open(media_dir / "sources" / "s27_ai_woman.png").convert("RGB").resize((256, 256)).save(home / "woman.png")
    beside = "[0:v]scale=256:256,fps=25[a];[1:v]scale=256:256,fps=25[b];[b][a]hstack"
    actor = media_dir / "drivings" / "d04_man_smile_green.mp4"
    ffmpeg("-i", clip, "-i", actor, "-filter_complex", beside, "-frames:v", "50", "-an", home / "both.mp4")
    return home


def test_faces_are_told_apart(folder: Path, face_analyzer: FaceAnalyzer) -> None:
    reader, likeness = FaceReader(), load_likeness()

    def place(name: str) -> np.ndarray:
        frame = read_image(folder / name)
        face = select_face(face_analyzer.faces(frame), "largest", frame)
        assert face is not None
        return likeness(reader.read(frame, face).descriptor)

    man = Portrait(place("front.png"))
    assert man.distance(place("front.png")) == pytest.approx(0, abs=1e-5)
    assert man.distance(place("other.png")) < SAME
    assert man.distance(place("woman.png")) > OTHER


def test_the_first_picture_says_who_is_meant(folder: Path, own_folder: Path) -> None:
    made, warnings = personalized([folder / "front.png", folder / "both.mp4"], own_folder / "man.person")
    (line,) = [text for text in warnings if "another person" in text]
    assert line.startswith(f"{folder / 'both.mp4'}: another person at 0.00 s, in 8 of 8 frames; left out")
    person = load_person(made.output)
    pictures = [view.landmarks_px for view in person.views]
    assert made.summary.views == len(pictures) > 2
    assert made.summary.seen.used <= 1 + 8
    # Beside each other, he is the one on the right: his crops reach the right edge, the actor's would not.
    assert all(view.facts.score > 0.99 for view in person.views)
    silent, lines = personalized([folder / "front.png", folder / "woman.png"], own_folder / "both.person")
    assert any("woman.png: shows another person; left out" in text for text in lines)
    assert silent.summary.views == 1
    all_of_them, _ = personalized(
        [folder / "front.png", folder / "woman.png"], own_folder / "all.person", same_person=True
    )
    assert all_of_them.summary.views == 2


def test_the_same_files_give_the_same_person(folder: Path, own_folder: Path) -> None:
    files = [folder / "front.png", folder / "other.png"]
    one, other = (personalized(files, own_folder / f"{name}.person")[0].output for name in "ab")
    assert one.read_bytes() == other.read_bytes()


def test_a_painting_is_a_person(media_dir: Path, own_folder: Path) -> None:
    made, warnings = personalized([media_dir / "sources" / "s01_mona_lisa.jpg"], own_folder / "lisa.person")
    assert warnings == []
    assert made.summary.views == 1
    assert made.summary.yaw_deg[0] == made.summary.yaw_deg[1]
    assert any(text.startswith("a picture turned to the right would help") for text in made.summary.help)


def test_a_person_grows(folder: Path, own_folder: Path) -> None:
    personalized([folder / "front.png"], own_folder / "a.person")
    made, _ = personalized([own_folder / "a.person", folder / "other.png"], own_folder / "b.person")
    assert made.summary.views == 2


def test_what_cannot_become_a_person(folder: Path, own_folder: Path, media_dir: Path) -> None:
    front = folder / "front.png"
    with pytest.raises(UsageError, match=r"me\.png: a person is kept in a \.person file"):
        personalize(front, "me.png")
    with pytest.raises(UsageError, match="name pictures or clips"):
        personalize([], "me.person")
    with pytest.raises(UsageError, match="--views 0"):
        personalize(front, "me.person", PersonalizeOptions(views=0))
    with pytest.raises(UsageError, match="--max-size 0"):
        personalize(front, "me.person", PersonalizeOptions(max_size=0))
    Path("me.person").write_bytes(b"mine")
    with pytest.raises(OutputExistsError):
        personalize(front, "me.person")
    assert Path("me.person").read_bytes() == b"mine"
    with pytest.raises(NoFaceError, match=r"s23_no_face\.jpg: no face that can be kept"):
        personalize(media_dir / "sources" / "s23_no_face.jpg", "nobody.person")
    assert not Path("nobody.person").exists()
    assert main(["personalize", str(media_dir / "sources" / "s23_no_face.jpg"), "-o", "n.person", "-q"]) == 3
