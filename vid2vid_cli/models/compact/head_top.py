"""The top of a head that a picture's upper edge cuts off: the hair below the cut goes on above it, mirrored."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Indices, Map, Points
from vid2vid_cli.geometry.easing import smoothstep
from vid2vid_cli.models.compact.mesh.crown import Crown
from vid2vid_cli.models.compact.mesh.square_map import HALF, cap_heights, part_around

Flags = NDArray[np.bool_]

# Points of the mesh: on cheeks, which no hair covers; on the forehead, which some may.
CHEEKS, FOREHEAD = (50, 117, 205, 280, 346, 425), (10, 67, 69, 108, 151, 297, 299, 337)
SURE = 0.97  # of the matte: where it is more, nothing of the background is seen
SKIN_UNTIL, HAIR_FROM = 0.5, 0.75  # of the way from skin to hair
REFERENCES = 16  # colours of hair, along the cut
AS_SKIN = 0.35  # of the way from the skin's colour to that of hair: what is nearer is skin
LEAST_CONTRAST = 0.12  # of full light, between hair and skin: what differs less cannot be told apart
BROWS = 2.0  # of the width in which the forehead is looked at: how wide brows are
SIDES = 0.12  # of the width of a cut: hair at its ends, whatever lies in the middle
FAR = 1e6  # px: beyond every picture
ROOTS, LEAST = 2, 0.05  # coarse px: as near to skin, hair is mixed with it; how much that counts
# Eye distances: how far down hair is looked for; how far where it cannot be told from skin; how much is enough to be
# mirrored; and to be seen in detail.
DEEPEST, DEEPEST_UNTOLD, ENOUGH, PLENTY = 0.6, 0.2, 0.1, 0.2
INSET, EDGE, SPECK = 0.05, 0.03, 0.03  # eye distances: from the outline to hair; how soft that is; what is averaged
WIDE, COARSE_EYE = (0.7, 0.25, 0.08), 32.0  # eye distances: what is not fine; px of one, in which colours are told
ENOUGH_SURE = 0.4  # as much of what lies around is enough
MOST_NARROWED = 1.25  # as many columns are shown in one at most
UPPER = 0.7  # of the depth of hair: that next to the forehead is thinner
JOINED = 0.15  # eye distances: over which what is seen at the top passes into what is drawn
KEPT = 0.5  # of fine detail: at the top of the head
# Of what lies below, what a forehead shows above the cut; of a cap, its height; eye distances: the edge of the hair.
SKIN_SHOWS, FLATTER, HAIRLINE = 0.35, 0.6, 0.1


@dataclass(frozen=True)
class HeadTop:
    """What closes a cut-off head: its outline, in halves of the crop's longer side, and its skin.

    skin: (S, 3), colours on the cheeks, then on the forehead. forehead_px: (F, 2), where the latter are, x and y.
    """

    crown: Crown
    skin: Points
    forehead_px: Indices

    @classmethod
    def of(cls, crown: Crown | None, picture: Points, points_px: Points) -> HeadTop | None:
        """Read it off a picture (H, W, 3) with a face (468, 3); None where nothing is cut off."""
        if crown is None:
            return None
        height, width = picture.shape[:2]
        places = points_px[[*CHEEKS, *FOREHEAD], :2].astype(np.int32).clip(0, (width - 1, height - 1))
        return cls(crown, picture[places[:, 1], places[:, 0]], places[len(CHEEKS) :])

    def over(self, matte: Map) -> Map:
        """Return what of the head lies above a picture: (above, W). matte: (H, W)."""
        height, width = matte.shape
        half, crown = max(matte.shape) / 2, self.crown
        ends = part_around(matte[0], crown.centre[0] * half + width / 2)
        if ends is not None:
            corners = [(end - width / 2) / half for end in ends if 0 < end < width]
            crown = crown.through(np.array([(x, -height / 2 / half) for x in corners], np.float32).reshape(-1, 2))
        (x, y), reach = crown.centre * half + (width / 2, height / 2), float(crown.radii.max()) * half + 2
        first, last = (int(end) for end in np.clip((x - reach, x + reach), 0, width))
        columns, rows = np.arange(first, last), np.arange(-max(int(np.ceil(reach - y)), 2), 0)
        places = np.stack(np.meshgrid((columns + 0.5 - width / 2) / half, (rows + 0.5 - height / 2) / half), -1)
        head = np.zeros((len(rows), width), np.float32)
        head[:, first:last] = crown.inside(places.astype(np.float32), EDGE * crown.eye_distance)
        shown = np.flatnonzero(head.any(1))
        return head[max(0, (shown[0] if shown.size else len(head)) - 2) :]

    def draw(self, person: Points, head: Map, caps: Points) -> Points:
        """Return the rows above a person (H, W, 4), premultiplied: the head (above, W) laid over caps (above, W, 4)."""
        half = max(person.shape[:2]) / 2
        ends = part_around(person[0, :, 3], self.crown.centre[0] * half + person.shape[1] / 2, SURE)
        shown = np.flatnonzero(head.any(0))
        if ends is None or not shown.size:
            return caps
        # Nothing else is looked at: pictures may be much wider than a head.
        first, last = min(int(shown[0]), ends[0]), max(int(shown[-1]) + 1, ends[1])
        part = np.s_[:, first:last]
        narrow = replace(self, forehead_px=self.forehead_px - (first, 0))
        colours = narrow._colours(person[part], head[part], (ends[0] - first, ends[1] - first), half)
        drawn = caps.copy()
        drawn[part] += head[part][..., None] * (
            np.concatenate([colours, np.ones_like(colours[..., :1])], -1) - caps[part]
        )
        drawn[-1] = person[0]  # half a pixel of it is seen
        return drawn

    def _colours(self, person: Points, head: Map, ends: tuple[int, int], half: float) -> Points:
        """Return the colours (above, W, 3) of a head above a person (H, W, 4) whom the top cuts between two ends.

        half: px, of the crop's longer side.
        """
        eye = self.crown.eye_distance * half  # px
        inset = min(round(INSET * eye), (ends[1] - ends[0] - 1) // 2)
        columns = slice(ends[0] + inset, ends[1] - inset)
        below, is_bare = self._below(person, columns, eye)
        colours = _softened(_mirrored(below, head, columns, eye), eye)
        forehead = _drawn_out(person, len(head), int(self.forehead_px[:, 1].max()) + 1)
        colours += _forehead(is_bare, len(head), eye) * (forehead - colours)
        return _joined(colours, person[0], columns, eye)

    def _below(self, person: Points, columns: slice, eye: float) -> tuple[Points, Map]:
        """Return what lies below the top: (D, W, 4), RGB times how surely it is hair, and that.

        And where the top cuts through a forehead that no hair covers: (W,).
        """
        below = person[: max(round(DEEPEST * eye), int(self.forehead_px[:, 1].max()) + 1, 2)]
        colours = below[..., :3] / np.maximum(below[..., 3:], HALF)
        shrink = min(1.0, COARSE_EYE / eye)
        height, width = below.shape[:2]
        size = max(1, round(width * shrink)), max(1, round(height * shrink))
        small = np.asarray(cv2.resize(colours, size, interpolation=cv2.INTER_AREA), np.float32)
        first = int(columns.start * shrink)
        is_hair = self._is_hair(small, slice(first, max(round(columns.stop * shrink), first + 1)), shrink)
        if is_hair is None:
            is_hair = np.zeros(size[::-1], np.float32)
            is_hair[: max(1, round(DEEPEST_UNTOLD * shrink * eye))] = 1
        is_hair[self._below_forehead(shrink, is_hair.shape)] = 0
        is_bare = np.zeros(width, np.float32)
        is_bare[columns] = 1 - cv2.resize(is_hair[:1], (width, 1), interpolation=cv2.INTER_LINEAR)[0, columns]
        without_roots = cv2.erode(is_hair, np.ones((2 * ROOTS + 1,) * 2))
        # Better roots than nothing at all.
        sure = cv2.resize(np.maximum(without_roots, LEAST * is_hair), (width, height), interpolation=cv2.INTER_LINEAR)
        sure = sure * smoothstep((below[..., 3] - SURE + 0.05) / 0.05)
        return np.concatenate([colours * sure[..., None], sure[..., None]], -1).astype(np.float32), is_bare

    def _below_forehead(self, shrink: float, size: tuple[int, ...]) -> tuple[slice, slice]:
        """Return the rows and columns, of a picture that is shrunk, where brows and eyes may be. size: its (D, W)."""
        left, (right, bottom) = self.forehead_px[:, 0].min(), self.forehead_px.max(0)
        reach = (BROWS - 1) / 2 * (right - left)
        first, last = (int(np.clip(x * shrink, 0, size[1])) for x in (left - reach, right + reach + 1))
        return slice(max(int(bottom * shrink), 1), None), slice(first, last)

    def _is_hair(self, colours: Points, columns: slice, shrink: float) -> Map | None:
        """Return where colours (D, W, 3) of a picture that is shrunk are hair: (D, W).

        They are if they are more like those in the first row than like skin, or are not connected with the forehead.
        None where hair and skin cannot be told apart, as on a bald head.
        """
        row, cheeks = colours[0, columns], np.median(self.skin[: len(CHEEKS)], 0)
        wide = max(1, round(SIDES * len(row)))
        # Hair may hang over the forehead; the forehead may reach up to the cut.
        most, ends = np.median(row, 0), np.median(np.concatenate([row[:wide], row[-wide:]]), 0)
        unlike = max(most, ends, key=lambda colour: float(np.linalg.norm(colour - cheeks)))
        contrast = float(np.linalg.norm(unlike - cheeks))
        is_bare = _nearest(self.skin, cheeks[None]) < _nearest(self.skin, unlike[None])
        skin, bare_px = self.skin[is_bare], self.forehead_px[is_bare[len(CHEEKS) :]]
        hair = row[:: max(1, len(row) // REFERENCES)]
        if contrast < LEAST_CONTRAST or not len(skin):
            return None
        hair = hair[_nearest(hair, skin) > AS_SKIN * contrast]
        if not len(hair):
            return None
        to_hair, to_skin = _nearest(colours, hair), _nearest(colours, skin)
        is_hair = smoothstep((to_skin / np.maximum(to_hair + to_skin, 1e-6) - SKIN_UNTIL) / (HAIR_FROM - SKIN_UNTIL))
        _, parts = cv2.connectedComponents(np.asarray(is_hair < HALF, np.uint8), connectivity=4)
        y, x = (bare_px[:, ::-1] * shrink).astype(int).clip(0, np.array(parts.shape) - 1).T
        return np.where(np.isin(parts, np.setdiff1d(parts[y, x], 0)), is_hair, 1).astype(np.float32)


def _nearest(colours: Points, others: Points) -> Points:
    """Return how far colours (..., 3) are from the nearest of some others (K, 3): (...)."""
    return np.asarray(np.sqrt(((colours[..., None, :] - others) ** 2).sum(-1).min(-1)), np.float32)


def _mirrored(below: Points, head: Map, columns: slice, eye: float) -> Points:
    """Return what hair (D, W, 4) below the cut, with its sureness, shows above it where it is mirrored: (above, W, 4).

    Where there is too little of it, that beside it is mirrored to there, from both sides.
    """
    own = _depths(below[..., 3])
    has_hair = own >= min(ENOUGH * eye, own[columns].max())
    # Where there is none, it must not make that beside it shallow.
    depth = _smooth(np.where(has_hair, own, own[columns].max()), columns)
    distance = np.arange(len(head), 0, -1, dtype=np.float32)[:, None]
    x = _narrowed(head, columns)
    shown = np.zeros((*head.shape, 4), np.float32)
    for beside, share in _beside(has_hair, columns):
        at = _at(x, beside)
        reach = _at(at, depth)
        taken = cv2.remap(below, at, _there_and_back(distance - 1, reach), cv2.INTER_LINEAR)
        # Little that is repeated often is no hair to see.
        shown += (_at(x, share) * np.minimum(reach / (PLENTY * eye), 1))[..., None] * taken
    return shown


def _at(places: Points, values: Points) -> Points:
    """Return what values (W,) are at places along them, of any shape."""
    return np.asarray(np.interp(places, np.arange(len(values)), values), np.float32)


def _depths(sure: Map) -> Points:
    """Return how many rows below the top are hair: (W,), at least 2."""
    is_hair = np.concatenate([sure > HALF, np.zeros((1, sure.shape[1]), bool)])
    return np.asarray(np.maximum(UPPER * is_hair.argmin(0), 2), np.float32)


def _smooth(depth: Points, columns: slice) -> Points:
    """Return depths (W,) that change little from column to column, and are hardly larger."""
    wide = (columns.stop - columns.start) // 12 * 2 + 1
    least = cv2.erode(depth[None], np.ones((1, wide // 4 * 2 + 1), np.uint8))
    return np.asarray(np.maximum(cv2.blur(least, (wide, 1))[0], 2))


def _beside(has_hair: Flags, columns: slice) -> list[tuple[Points, Points]]:
    """Return for each column (W,) the columns of hair to its left and right, mirrored, and how much each shows."""
    there = np.zeros(len(has_hair), bool)
    there[columns] = has_hair[columns]
    left, way_left = _mirrored_columns(there)
    right, way_right = (values[::-1] for values in _mirrored_columns(there[::-1]))
    share = smoothstep(way_right / np.maximum(way_left + way_right, 1))
    return [(left, share), (len(there) - 1 - right, 1 - share)]


def _mirrored_columns(there: Flags) -> tuple[Points, Points]:
    """Return for each column (W,) that to the left of the nearest hair on its left as far as this is to its right.

    And how far that hair is away; next to infinitely where there is none.
    """
    places = np.arange(len(there), dtype=np.float32)
    last = np.maximum.accumulate(np.where(there, places, -FAR))
    bare = np.maximum.accumulate(np.where(there, -1, places))
    hair = np.maximum(last, 0).astype(int)
    way = places - last
    back = _there_and_back(way, hair - bare[hair] - 1)
    return np.asarray(hair - back, np.float32), np.asarray(way, np.float32)


def _there_and_back(way: Points, length: Points) -> Points:
    """Return how far from its begin one is on a track of a length that is run there and back."""
    length = np.maximum(length, 1)
    return np.asarray(length - np.abs(way % (2 * length) - length), np.float32)


def _narrowed(head: Map, columns: slice) -> Points:
    """Return for each pixel of the rows above (above, W) which column it shows: hair runs together as the head does."""
    width = head.shape[1]
    inside = head > HALF
    begin, end = inside.argmax(1), width - inside[:, ::-1].argmax(1)
    first, last = float(columns.start), float(columns.stop - 1)
    shrink = ((last - first) / np.maximum(end - begin, 1))[:, None].clip(0.5, MOST_NARROWED)
    drawn = (first + last) / 2 + (np.arange(width)[None] - ((begin + end) / 2)[:, None]) * shrink
    return np.asarray(drawn.clip(first, last), np.float32)


def _softened(shown: Points, eye: float) -> Points:
    """Return RGB (above, W, 3) of what is shown, with its sureness (above, W, 4): less fine the higher up.

    Where nothing is sure, it is what lies around.
    """
    height, width = shown.shape[:2]
    shrink = min(1.0, COARSE_EYE / eye)
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    small = np.asarray(cv2.resize(shown, size, interpolation=cv2.INTER_AREA), np.float32)
    wide = small[..., :3].sum((0, 1)) / max(float(small[..., 3].sum()), 1e-6)
    for reach in WIDE:
        blurred = cv2.GaussianBlur(small, (0, 0), reach * shrink * eye, borderType=cv2.BORDER_REPLICATE)
        there = np.minimum(blurred[..., 3:] / ENOUGH_SURE, 1)
        wide = wide + there * (blurred[..., :3] / np.maximum(blurred[..., 3:], 1e-6) - wide)
    wide = np.asarray(cv2.resize(wide, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    sure: Map = np.asarray(cv2.blur(shown[..., 3], (2 * round(SPECK * eye) + 1,) * 2), np.float32)[..., None]
    kept = smoothstep(2 * sure - 1) * np.linspace(KEPT, 1, height, dtype=np.float32)[:, None, None]
    own = shown[..., :3] / np.maximum(shown[..., 3:], 0.1)
    return np.asarray(wide + kept * (own - wide), np.float32)


def _forehead(is_bare: Map, above: int, eye: float) -> Map:
    """Return how much of a forehead shows above a cut (above, W, 1) that goes through it. is_bare: (W,)."""
    soft = max(HAIRLINE * eye, 1)
    caps: Map = np.asarray(cv2.blur(cap_heights(is_bare)[None], (round(soft) // 2 * 2 + 1, 1)), np.float32)
    distance = np.arange(above, 0, -1, dtype=np.float32)[:, None]
    covered = (FLATTER * caps - distance) / soft + 0.5 * np.sign(caps)
    return smoothstep(np.asarray(covered, np.float32))[..., None]


def _joined(colours: Points, top: Points, columns: slice, eye: float) -> Points:
    """Return colours (above, W, 3) that begin with those of a picture's top (W, 4), where that shows nothing else."""
    missed = (top[:, :3] / np.maximum(top[:, 3:], HALF) - colours[-1])[columns]
    missed = cv2.blur(missed[None], (2 * round(SPECK * eye) + 1, 1), borderType=cv2.BORDER_REPLICATE)[0]
    places = np.arange(colours.shape[1]).clip(columns.start, columns.stop - 1) - columns.start
    share = np.exp(np.arange(1 - len(colours), 1, dtype=np.float32) / (JOINED * eye))[:, None, None]
    return np.asarray((colours + share * missed[places]).clip(0, 1), np.float32)


def _drawn_out(person: Points, above: int, deepest: int) -> Points:
    """Return the colours (above, W, 3) of what lies right below the top, mirrored and drawn out."""
    rows = (np.arange(above - 1, -1, -1) * SKIN_SHOWS).astype(int).clip(0, min(deepest, len(person)) - 1)
    return np.asarray(person[rows, :, :3] / np.maximum(person[rows, :, 3:], HALF))
