"""A shell around the face: all else of a head, its hair, ears and neck, with a depth, so that it turns as one piece.

Rays from the middle of the face through its outline carry rings of vertices, out to where the person ends (the matte's
outline) and on to the crop's border. How far a place lies before the plane of the ears is the height u of an ellipsoid
over the matte: u^2 solves Poisson's equation, with the depth of the face's own outline at the face, and 0 at the
matte's outline. Where a light head (light_head.py) says how far away ears, skull, jaw and neck are, that counts
instead. From the matte's outline the head is closed behind. Below the chin the head's movement fades out towards the
shoulders (neck.py).

A turned face hides where its far half ends: its silhouette is that of the cheek, far before the ears. As that half
turns to the camera, the shell beside it is tucked in behind the outline, or goes where the ear is that the source hides
(hidden_ear.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Points
from vid2vid_cli.geometry.easing import smoothstep
from vid2vid_cli.models.compact.mesh.box import Border
from vid2vid_cli.models.compact.mesh.crown import Crown
from vid2vid_cli.models.compact.mesh.head_pose import EARS_Z, HeadPose
from vid2vid_cli.models.compact.mesh.hidden_ear import HiddenEar
from vid2vid_cli.models.compact.mesh.neck import follow_head
from vid2vid_cli.models.compact.mesh.outline import Outline, smooth_around
from vid2vid_cli.models.compact.mesh.square_map import HALF, SeenPerson, SquareMap

SAMPLES_ALONG = 64  # of each ray, to find where the person ends
LEAST_ROOM, MOST_ROOM = 1.03, 1.9  # of the face's outline: where the person ends, at least and at most
BORDER_ROOM = 0.8  # of the way to the border: where the person ends at most
# Shares of the way from the face to where the person ends, and from there to the border.
INNER, OUTER = (0.06, 0.2, 0.4, 0.62, 0.82, 0.94, 1.0), (0.03, 0.15, 0.35, 0.65)
RINGS = len(INNER) + len(OUTER)
FOLD = len(INNER) - 2  # the ring from which the back of the head goes on, where the matte is still sure of the person
JAW_FLEX, JAW_REACH = 0.4, 0.25  # how much skin follows the jaw's opening, and how far outside of the outline
MIRRORED = 0.5  # of the way to where the person ends: what of the head may be shown mirrored
GRADING = 1.3  # of the face's outline: how much further inner rings reach into a body than on the ray beside
BEHIND = 10.0  # behind every head
CLEAR, SURE = 0.1, 0.97  # of the matte: where it is less, next to nothing of the person is; where more, nothing else
MOST_INSET = 0.3  # of the way from the face to the fold: what at least is shown where a side turns to the camera
# Eye distances on the canonical head: middle of the skull, where the back ends and how softly.
SKULL_Y, NAPE_Y, NAPE_REACH = -0.25, 0.1, 0.5
EAR_TOP, EAR_END, MIRROR_END = -0.3, 0.25, 0.3  # on it, too: where ears begin and end, and what may be mirrored
LEAST_HAIR = 0.15  # eye distances between a face and where the person ends: less is no hair
BACK_DEG = (20.0, 42.0, 64.0, 86.0)  # around the head from the fold: where the rings of its back lie
BACK_DEPTH = 0.85  # eye distances: how far the head reaches behind the plane of the ears
BACK_SHARE = 0.7  # of the hair between the face and the outline: what the back may show of it
LEAST_SHARE = 0.1  # of an ear that is mirrored: with this much of it, only that is seen where the picture shows nothing
STEEPEST = 3.0  # depth over the way outwards: how fast what lies beside a face goes back
HAIR_BEYOND = (0.5, 1.5)  # of what a face hides of its outline: a person who ends nearer has no hair there, farther has
CLEARED = len(INNER) + 2  # rings that show the other half where this one has nothing but the face's own edge


@dataclass(frozen=True)
class Shell:
    """The vertices around a face, as the source shows them: RINGS rings of 36, and the back of the head.

    places: (RINGS, 36, 3), x and y in halves of the crop's longer side, z away. follow: (RINGS, 36, 1), how much they
    follow the head. flex: (RINGS, 36, 1), how much they follow the change of the face's outline. mirror: (RINGS, 36),
    1 for what may be shown mirrored. behind: (RINGS, 36), added to z outside of the person. room: (RINGS, 36,
    1), how far away the sides are that hold still, see SeenPerson.room. inset: (RINGS, 36, 2), how much further
    inside they show the head where the target turns their side to the camera. tuck: (RINGS, 36, 3), how they move where
    a half of the face comes into view that hid them. to_ear: (RINGS, 36, 3), how they move from there where an ear
    stands out that they lack. lacking: (RINGS, 36), 1 for what then shows the other ear. back: (BACKS, 36, 3), hidden
    behind the rest in the source. back_xy: (BACKS, 36, 2), what of the source it shows.
    """

    places: Points
    follow: Points
    flex: Points
    mirror: Points
    behind: Points
    room: Points
    inset: Points
    tuck: Points
    to_ear: Points
    lacking: Points
    back: Points
    back_xy: Points


def build_shell(outline: Outline, head: HeadPose, person: SeenPerson, crown: Crown | None = None) -> Shell:
    """Build the shell of a source. The border of the person's matte holds still. crown: of a head that is cut off."""
    matte = person.completed(None if crown is None else crown.over(person.matte))
    border = person.matte.border
    rim = reach_border(outline, border)
    start, most = outline.radius, _most_reach(outline, rim)
    edge = _person_ends(outline, rim, matte, most)
    last = _graded(edge / start, edge >= most) * start
    inner = [start + share * (last - start) for share in INNER]
    radii = np.stack([*inner, *(last + share * (rim - last) for share in OUTER)])
    xy = np.asarray(outline.centre + radii[..., None] * outline.directions, np.float32)
    depth = _depth(outline, head, matte, xy, radii)
    places = np.concatenate([xy, depth[..., None]], -1).astype(np.float32)
    # Nothing is seen of a border that lies above the frame: it need not hold the hair there.
    above = crown is None and bool(border.low[1] > person.frame.top - matte.step[1])
    follow = follow_head(places, head, matte, person.room(xy, above=above))[..., None]
    flex = JAW_FLEX * np.clip(1 - (radii / start - 1) / JAW_REACH, 0, 1)
    own_edge = _own_edge(outline, edge)
    mirror = ((radii - start) <= MIRRORED * (edge - start)) & (head.down(places) < MIRROR_END)
    clear = matte.grown().at(places[CLEARED - 1, :, :2]) < CLEAR  # nothing of a person lies farther out than the head
    mirror |= _cleared(outline, places, own_edge, head, clear)
    has_back = _has_back(places, follow, head, matte) * (1 - own_edge[:, None])
    # Background must not cover a shoulder that a head tilts over. Nor must single hairs at the outline cover the head's
    # back where that comes into view.
    behind = BEHIND * np.maximum(matte.at(xy) < HALF, smoothstep((has_back[:, 0] - 0.2) / 0.3))
    behind[: FOLD + 1] = 0  # what slopes away there would let the head's back through
    inset = _inset(outline, radii, has_back[:, 0], matte)
    back, back_xy = _close_behind(outline, places[FOLD], has_back, head)
    back_xy += inset[FOLD]
    beyond = (edge - start) / float(head.pose.scale)
    ear = HiddenEar.of(places, beyond, clear, outline.partners, head)
    share, lacking = _of_ear(ear, matte.at(xy))
    tuck = own_edge[:, None] * _tuck(outline, np.minimum(radii, edge), depth)
    to_ear = share[..., None] * (ear.places - places - tuck)
    still = person.room(xy, below=False, above=above)[..., None]
    kinds = (places, follow, flex[..., None], mirror, behind, still, inset, tuck, to_ear, lacking, back, back_xy)
    return Shell(*(np.asarray(kind, np.float32) for kind in kinds))


def reach_border(outline: Outline, border: Border) -> Points:
    """Return how far it is to a border along each ray (36,), or to just past the outline where that lies outside."""
    directions = outline.directions
    room = np.where(directions > 0, border.high - outline.centre, border.low - outline.centre)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Along each axis; a ray parallel to it never meets the border there.
        reach = np.where(np.abs(directions) > 1e-6, room / directions, np.inf).min(1)
    return np.asarray(np.maximum(reach, 1.02 * LEAST_ROOM * outline.radius), np.float32)


def _most_reach(outline: Outline, rim: Points) -> Points:
    """Return how far along each ray (36,) the person reaches at most."""
    return np.asarray(np.minimum(MOST_ROOM * outline.radius, outline.radius + BORDER_ROOM * (rim - outline.radius)))


def _person_ends(outline: Outline, rim: Points, matte: SquareMap, most: Points) -> Points:
    """Return how far along each ray (36,) the person reaches without a gap, and no further than most (36,)."""
    reach = outline.radius + np.linspace(0, 1, SAMPLES_ALONG, dtype=np.float32)[:, None] * (rim - outline.radius)
    inside = matte.at(np.asarray(outline.centre + reach[..., None] * outline.directions, np.float32)) > HALF
    ends = np.where(inside.all(0), SAMPLES_ALONG - 1, inside.argmin(0))
    edge = np.take_along_axis(reach, ends[None], 0)[0]
    return np.asarray(np.minimum(np.maximum(edge, LEAST_ROOM * outline.radius), most), np.float32)


def _graded(reach: Points, goes_on: NDArray[np.bool_]) -> Points:
    """Return how far the inner rings reach along each ray (36,), as a share of the face's outline.

    A ray beside the jaw ends there, and the next one goes on through the neck. The rings between the two would be
    long slivers across the shoulder, and tear it as the jaw moves. goes_on: (36,), whether the person goes on beyond.
    """
    for _ in range(len(reach) // 2):
        beside = np.minimum(np.roll(reach, 1), np.roll(reach, -1))
        reach = np.where(goes_on, np.minimum(reach, GRADING * beside), reach)
    return np.asarray(reach, np.float32)


def _depth(outline: Outline, head: HeadPose, matte: SquareMap, xy: Points, radii: Points) -> Points:
    """Return how far away the rings (RINGS, 36) are."""
    ears = float(head.in_picture(0, EARS_Z)[2])
    depth = ears - outline.heights(ears, matte, head.depth(matte.border)).at(xy)
    # Where a person ends right beside the face, depth would fall off to the plane of the ears within a few px.
    return np.asarray(np.minimum(depth, outline.points[:, 2] + STEEPEST * (radii - outline.radius)), np.float32)


def _own_edge(outline: Outline, edge: Points) -> Points:
    """Return for each ray (36,) how surely the person ends there by the face itself, which hides what lies behind."""
    beyond = (edge - outline.radius) / np.maximum(outline.hidden, 1e-6)
    nearest, farthest = HAIR_BEYOND
    return smooth_around(1 - smoothstep((beyond - nearest) / (farthest - nearest)))


def _tuck(outline: Outline, radii: Points, depth: Points) -> Points:
    """Return how rings move from beside the silhouette to beside the outline, where the head goes back: (RINGS, 36, 3).

    radii: (RINGS, 36), no further out than the person. depth: theirs, (RINGS, 36).
    """
    inwards = np.broadcast_to(-outline.hidden[:, None] * outline.directions, (*depth.shape, 2))
    away = outline.points[:, 2] + (radii - outline.radius) - depth
    return np.concatenate([inwards, away[..., None]], -1)


def _cleared(
    outline: Outline, places: Points, own_edge: Points, head: HeadPose, clear: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which places (RINGS, 36) show the other half's ear and background: there only glasses reach further.

    clear: (36,), where nothing but the head itself lies: no scarf, and no shoulder.
    """
    above = head.down(places) < EAR_END
    rings = np.arange(RINGS)[:, None]
    # Nor may a shoulder beside be drawn out to where the head ends.
    ends = np.where(rings > FOLD, clear & np.roll(clear, 1) & np.roll(clear, -1), clear)
    inner = rings < CLEARED
    return np.asarray(inner & (own_edge > 0.5) & ends[:, outline.partners] & above & above[:, outline.partners])


def _of_ear(ear: HiddenEar, matte: Points) -> tuple[Points, Points]:
    """Return how far the rings lie where a hidden ear is, and how much they show of the other one: (RINGS, 36) each.

    matte: (RINGS, 36). Where the picture shows nothing on this side, all that is seen is the other ear: half of it
    would be a veil.
    """
    share = np.zeros(matte.shape, np.float32)
    share[: FOLD + 1], share[FOLD + 1 : CLEARED] = ear.share, ear.outside
    shown = np.minimum(share / LEAST_SHARE, 1) * np.clip(2 - 2 * matte, 0, 1)
    return share, np.asarray(np.maximum(share, shown), np.float32)


def _has_back(places: Points, follow: Points, head: HeadPose, matte: SquareMap) -> Points:
    """Return for each ray (36, 1) whether a head ends there, from 0 to 1; it goes on where hair falls on shoulders."""
    # The matte is half sure of somebody where they end.
    begins = np.minimum(2 * matte.at(places[FOLD, :, :2]), 1)
    ends = 1 - matte.at(places[-len(OUTER), :, :2])
    above_nape = smoothstep((NAPE_Y - head.down(places[FOLD])) / NAPE_REACH)
    back = smoothstep((follow[FOLD, :, 0] - 0.8) / 0.2) * begins * ends * above_nape
    # None rather than next to none: that would lie too little behind the rest to be hidden by it.
    return np.asarray(np.clip(1.05 * smooth_around(smooth_around(back)) - 0.05, 0, 1), np.float32)[:, None]


def _close_behind(outline: Outline, fold: Points, has_back: Points, head: HeadPose) -> tuple[Points, Points]:
    """Return the back of a head, an ellipsoid behind a ring (36, 3), and what hair of the source it shows."""
    middle = head.in_picture(SKULL_Y, 0)
    middle[2] = fold[:, 2].mean()
    turned = np.radians(BACK_DEG)[:, None, None]
    # The ring follows single locks; the further behind, the smoother the head. It never stands out from the ring.
    outwards = ((smooth_around(fold) - fold)[:, :2] * outline.directions).sum(-1)
    smooth = np.repeat(fold[None], len(turned), 0)
    smooth[..., :2] += (np.sin(turned) * np.minimum(outwards, 0)[:, None]) * outline.directions
    back = fold + has_back * (smooth - (1 - np.cos(turned)) * (smooth - middle) - fold)
    back[..., 2] += (BACK_DEPTH * float(head.pose.scale) * has_back * np.sin(turned))[..., 0]
    room = np.linalg.norm(fold[:, :2] - outline.centre, axis=-1) - outline.radius
    shown = np.linspace(0.25, 1, len(turned))[:, None] * BACK_SHARE * room * has_back[:, 0]
    back_xy = fold[:, :2] - shown[..., None] * outline.directions
    return back, _hair_behind_ears(back_xy, fold, room / float(head.pose.scale), has_back[:, 0], head)


def _hair_behind_ears(back_xy: Points, fold: Points, room: Points, has_back: Points, head: HeadPose) -> Points:
    """Return what the back of a head shows (BACKS, 36, 2), and behind ears and bare temples the hair above, mirrored.

    fold: (36, 3), the ring from which the back goes on. room: (36,), eye distances, from the face to where the person
    ends: where there is little, there is no hair to show. has_back: (36,); where there is little it lies at the ring,
    would shine through, and must not look different.
    """
    back_xy, height = back_xy.copy(), head.down(fold)
    is_right = head.pose.undo_array(fold)[:, 0] > 0
    has_hair = (height < EAR_TOP) & (room > LEAST_HAIR)
    for side in (is_right, ~is_right):
        hairy, bare = (np.flatnonzero(side & rays) for rays in (has_hair, ~has_hair & (has_back > HALF)))
        if not hairy.size:
            continue
        hairy = hairy[np.argsort(height[hairy])]
        mirrored = 2 * height[hairy[-1]] - height[bare]
        for ring, axis in np.ndindex(len(back_xy), 2):
            back_xy[ring, bare, axis] = np.interp(mirrored, height[hairy], back_xy[ring, hairy, axis])
    return back_xy


def _inset(outline: Outline, radii: Points, has_back: Points, matte: SquareMap) -> Points:
    """Return how rings with radii (RINGS, 36) move inwards to where the matte is sure of the head: (RINGS, 36, 2).

    The last px before a head's outline are mixed with the background, and those a turn would draw out.
    """
    start, fold = outline.radius, radii[FOLD]
    along = np.linspace(1, MOST_INSET, SAMPLES_ALONG, dtype=np.float32)[:, None]
    reach = start + along * (fold - start)
    sure = matte.at(np.asarray(outline.centre + reach[..., None] * outline.directions, np.float32)) > SURE
    kept = np.where(sure.any(0), along[sure.argmax(0), 0], MOST_INSET)
    shrink = (1 - smooth_around(kept)) * has_back
    inset = np.where(np.arange(RINGS)[:, None] <= FOLD, shrink * (radii - start), 0)
    return np.asarray(-inset[..., None] * outline.directions, np.float32)
