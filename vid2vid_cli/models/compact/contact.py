"""Contact: lids and lips of the source meet when the driving's do, whatever the sizes of both faces.

Expressions are added as differences. A small eye that shuts would leave a slit on a portrait with large eyes, and a
large one would push the lids of a small-eyed portrait past each other; lips that part from a smile would cross when the
driving closes its own. The height of each opening is therefore set: of an eye to the driving's share of its own
opening, of a mouth to what the driving's is open. All faces here are canonical, see posing.py.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vid2vid_cli.geometry.easing import smoothstep_tensor
from vid2vid_cli.models.compact.mesh.topology import FaceTopology

WIDEST = 1.35  # most that an eye opens, over its opening in the source
LASHES = 0.034  # eye distances: a shut eye is read as open so much at most, for its lashes
LASHES_SHARE = 0.4  # of its opening at rest: in small eyes they are read as open by less
NEARLY_SHUT = 0.2  # of an eye's opening
# A drawn lid has lashes as well, which hide most of what is left of a small opening: an eye that is read as open by the
# first share, lashes left out, is drawn open by the second one.
HALF_SHUT, HALF_DRAWN = 0.25, 0.45
LID_REACH = 0.08  # eye distances: how far above an upper lid the skin follows it
LIP_REACH = 0.3  # eye distances: how far around the lips the skin follows them; all of a lip does
APART = 0.02  # eye distances: lips of a reference that are open so little are closed
FREE = 3  # times APART: lips open so far may be opened further, or less far, as one likes


class Opening:
    """The opening between an upper and a lower edge of U points each, and the skin that follows both."""

    def __init__(self, upper: Tensor, lower: Tensor, upper_followers: Tensor, lower_followers: Tensor) -> None:
        """Take the points' indices, and how much each point of the face follows each pair: (468, U)."""
        self._upper, self._lower = upper, lower
        # What an opening gains goes down with the lower edge and up with the upper one.
        self._moves = lower_followers - upper_followers

    def gaps(self, faces: Tensor) -> Tensor:
        """Return the height of the opening at each pair of points: (B, U); below 0 where edges have crossed."""
        return faces[:, self._lower, 1] - faces[:, self._upper, 1]

    def opened(self, faces: Tensor, gaps: Tensor) -> Tensor:
        """Return faces (B, 468, 3) whose opening has these heights (B, U)."""
        moved = faces.clone()
        moved[..., 1] += (gaps - self.gaps(faces)) @ self._moves.T
        return moved


class LidContact:
    """Opens both eyes by the driving's share, by moving the upper lids."""

    def __init__(self, topology: FaceTopology) -> None:
        """Find upper and lower lids, and the skin that follows each point of an upper lid."""
        self._eyes = [self._eye(topology.canonical, loop) for loop in torch.from_numpy(topology.eyes).long()]

    @staticmethod
    def _eye(canonical: Tensor, loop: Tensor) -> Opening:
        upper, lower = _edges(canonical, loop)
        nearest, share = _nearness(canonical, upper)
        fade = (1 - nearest / LID_REACH).clamp(0, 1).square()
        below = canonical[:, 1:2] > canonical[upper, 1].max() + 0.02  # the lower lid's skin stays
        follow = torch.where(below, torch.zeros_like(share), share * fade)
        follow[upper] = torch.eye(len(upper))
        follow[lower] = 0.0
        return Opening(upper, lower, follow, torch.zeros_like(follow))

    def set_opening(self, faces: Tensor, own: Tensor, driving: Tensor, reference: Tensor) -> Tensor:
        """Return faces (B, 468, 3) with eyes open by the driving's share of the source's own opening.

        own: (1, 468, 3), the source's. driving, reference: (B or 1, 468, 3).
        """
        for eye in self._eyes:
            rest, shut = _open_and_shut(eye, reference)
            share = ((eye.gaps(driving).mean(1, keepdim=True) - shut) / (rest - shut)).clamp(0, WIDEST)
            faces = eye.opened(faces, eye.gaps(own) * _drawn(share))
        return faces

    def opened_by(self, faces: Tensor, own: Tensor, shares: Tensor) -> Tensor:
        """Return faces (B, 468, 3) with eyes open by shares (B, 2) of own (1, 468, 3): the person's right, the left."""
        for eye, share in zip(self._eyes, shares.unbind(1), strict=True):
            faces = eye.opened(faces, eye.gaps(own) * share[:, None])
        return faces

    def shares(self, faces: Tensor, own: Tensor) -> Tensor:
        """Return how far both eyes of faces (B, 468, 3) are open, over own's (1, 468, 3): (B, 2)."""
        return torch.cat([eye.gaps(faces).mean(1, keepdim=True) / _open_and_shut(eye, own)[0] for eye in self._eyes], 1)

    def with_lashes(self, faces: Tensor, own: Tensor) -> Tensor:
        """Return faces as a picture would show them: what `set_opening` takes for lashes lies over their openings.

        Lids that nearly meet do so: else what smoothing leaves of a blink would be a slit.
        """
        for eye in self._eyes:
            rest, shut = _open_and_shut(eye, own)
            gaps = eye.gaps(faces)
            share = gaps.mean(1, keepdim=True) / rest
            read = gaps * _read(share) / share.clamp_min(1e-6)
            lashed = read * (1 - shut / rest) + eye.gaps(own) * shut / rest
            faces = eye.opened(faces, lashed * (share / NEARLY_SHUT).clamp(0, 1))
        return faces


class LipContact:
    """Opens the mouth as far as the driving's, by moving both lips alike."""

    def __init__(self, topology: FaceTopology) -> None:
        """Find the edges of both lips, and the skin that follows them."""
        canonical, loop = topology.canonical, torch.from_numpy(topology.inner_lips).long()
        upper, lower = _edges(canonical, loop)
        corners = loop[[0, len(loop) // 2]]
        meeting = (canonical[upper] + canonical[lower]) / 2  # (U, 3), the line where the lips meet
        # Points nearest to a corner follow no pair: there lips meet, whatever they do.
        _, pair = torch.cdist(canonical[:, :2], torch.cat([meeting, canonical[corners]])[:, :2]).min(1)
        nearest, near = _nearness(canonical, torch.cat([upper, lower]))
        share = near[:, : len(upper)] + near[:, len(upper) :]
        fade = smoothstep_tensor(2 * (1 - nearest / LIP_REACH)) * (pair < len(upper))[:, None]
        follow = share * fade / 2  # each lip goes half of the way
        follow[upper] = follow[lower] = torch.eye(len(upper)) / 2
        is_above = canonical[:, 1] < meeting[pair.clamp_max(len(upper) - 1), 1]
        is_above[upper], is_above[lower] = True, False
        above = is_above[:, None].float()
        self._mouth = Opening(upper, lower, above * follow, (1 - above) * follow)

    def closed(self, faces: Tensor, reference: Tensor | None) -> Tensor:
        """Return faces (B, 468, 3) with lips no further apart than a reference's (1, 468, 3); None closes them."""
        own = self._mouth.gaps(faces)
        if reference is None:
            return self._mouth.opened(faces, torch.zeros_like(own))
        other = self._mouth.gaps(reference)
        return self._mouth.opened(faces, torch.minimum(own, torch.where(other < APART, 0.0, other)))

    def as_closed(self, faces: Tensor, before: Tensor) -> Tensor:
        """Return faces (B, 468, 3) whose lips meet where they met before: (B, 468, 3), the same ones unchanged."""
        gaps = self._mouth.gaps(before)
        share = smoothstep_tensor(gaps / (FREE * APART))
        opened = (gaps + share * (self._mouth.gaps(faces) - gaps)).clamp_min(0)
        return self._mouth.opened(faces, torch.where(share > 0, opened, gaps))

    def open_further(self, faces: Tensor, own: Tensor, moved: Tensor, rest: Tensor) -> Tensor:
        """Return faces (B, 468, 3) with lips open further than own's as moved's are than rest's, and never crossed."""
        gaps = self._mouth.gaps(own) + self._mouth.gaps(moved) - self._mouth.gaps(rest)
        return self._mouth.opened(faces, gaps.clamp_min(0))

    def set_opening(self, faces: Tensor, own: Tensor, driving: Tensor, reference: Tensor | None) -> Tensor:
        """Return faces (B, 468, 3) with lips as far apart as the driving's.

        own: (1, 468, 3), the source at rest. driving: (B, 468, 3). reference: (1, 468, 3), the driving where the source
        shows its rest: what both differ by there is kept, as far as the driving is open. None: nothing is kept.
        """
        gaps = self._mouth.gaps(driving).clamp_min(0)
        if reference is not None:
            rest, kept = self._mouth.gaps(reference).clamp_min(0), self._mouth.gaps(own).clamp_min(0)
            share = torch.where(rest > APART, (gaps / rest.clamp_min(APART)).clamp_max(1), torch.ones_like(gaps))
            gaps = gaps + (kept - rest) * share
        return self._mouth.opened(faces, gaps.clamp_min(0))


def _open_and_shut(eye: Opening, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean heights (B, 1) of an eye at rest, and as it reads when it is shut."""
    rest = eye.gaps(reference).mean(1, keepdim=True).clamp_min(1e-3)
    return rest, (LASHES_SHARE * rest).clamp_max(LASHES)


def _drawn(share: Tensor) -> Tensor:
    """Return how far eyes are drawn open that are read as open by a share of their opening, lashes left out."""
    steep = share * (HALF_DRAWN / HALF_SHUT)
    flat = 1 - (1 - share) * ((1 - HALF_DRAWN) / (1 - HALF_SHUT))
    return torch.maximum(torch.minimum(steep, flat), share)


def _read(drawn: Tensor) -> Tensor:
    """Undo `_drawn`."""
    steep = drawn * (HALF_SHUT / HALF_DRAWN)
    flat = 1 - (1 - drawn) * ((1 - HALF_SHUT) / (1 - HALF_DRAWN))
    return torch.minimum(torch.maximum(steep, flat), drawn)


def _edges(canonical: Tensor, loop: Tensor) -> tuple[Tensor, Tensor]:
    """Return the upper and the lower edge of a loop that begins at a corner, without both corners, in pairs."""
    half = len(loop) // 2
    one, other = loop[1:half], loop[half + 1 :].flip(0)
    is_upper = canonical[one, 1].mean() < canonical[other, 1].mean()
    return (one, other) if is_upper else (other, one)


def _nearness(canonical: Tensor, edge: Tensor) -> tuple[Tensor, Tensor]:
    """Return how far each point is from an edge of E points (468, 1), and which of them it is near (468, E), sum 1."""
    distance = torch.cdist(canonical[:, :2], canonical[edge, :2])
    nearest = distance.min(1, keepdim=True).values
    share = torch.exp(-((distance - nearest) / 0.03).square())
    return nearest, share / share.sum(1, keepdim=True)
