"""The mesh of a frame with all the pictures of a person that it takes pixels from, and the person that it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vid2vid_cli.arrays import Points
from vid2vid_cli.models.compact.layers import Layers
from vid2vid_cli.models.compact.mesh.box import Box
from vid2vid_cli.models.compact.mesh.coverage import OFFSETS, EdgePixels, find_edges
from vid2vid_cli.models.compact.mesh.placed_mesh import MIRROR, PlacedMesh
from vid2vid_cli.models.compact.mixed_pixels import MovedMesh, Parts, PersonPixels, Taken, mix_pixels, mix_places

PLACE = 2  # channels of a place


@dataclass(frozen=True)
class Part:
    """What a mesh takes from one picture.

    picture: its number. values: (V, 2), places in px, or (V, 3) with shares. how: see Taken.
    """

    picture: int
    values: Points
    how: Taken


@dataclass(frozen=True)
class MixedMesh:
    """A placed mesh whose values are places and shares of pictures, see mixed_pixels.MovedMesh for parts and main."""

    mesh: PlacedMesh
    pictures: PersonPixels
    parts: Parts
    main: int

    @classmethod
    def of(cls, mesh: PlacedMesh, pictures: PersonPixels, parts: Sequence[Part], main: int) -> MixedMesh:
        """Take the parts from pictures, one after the other, the last of them the rest.

        mesh: whose values do not count. main: the number of the picture by which edges are found.
        """
        ends = np.cumsum([part.values.shape[1] for part in parts]).tolist()
        rows = [
            (part.picture, end - part.values.shape[1], end - 1, part.how) for part, end in zip(parts, ends, strict=True)
        ]
        values = np.concatenate([part.values for part in parts], 1).astype(np.float32)
        found = [at for picture, at, _, _ in rows if picture == main]
        return cls(replace(mesh, values=values), pictures, np.array(rows, np.int64), found[-1])

    @classmethod
    def of_one(cls, mesh: PlacedMesh, layers: Layers) -> MixedMesh:
        """Take all from a source's own picture. mesh: the source's, placed."""
        own = to_px(mesh.values[:, :PLACE] + mesh.vertices[:, :2], layers.size)
        mirrored = [mirrored_part(mesh, layers.size)] if mesh.has_mirror else []
        return cls.of(mesh, layers.pictures, [*mirrored, Part(0, own, Taken.REST)], 0)

    def show(self, size: tuple[int, int]) -> Points:
        """Return the person as (H, W, 4), premultiplied RGB and the matte. size: of the whole crop."""
        mesh = self.mesh
        vertices_px = mesh.in_px(Box.whole(size), size)
        moved = MovedMesh(vertices_px, mesh.triangles, mesh.values, self.parts, self.main)
        person, displacement = mix_pixels(moved, self.pictures, size)
        edges = find_edges(displacement)
        if len(edges):
            person[edges.y, edges.x] = self._covered(edges)
        return person

    def _covered(self, edges: EdgePixels) -> Points:
        """Return pixels of the person that edges pass through, (E, 4), from what covers each of their samples."""
        drawn = self.mesh.draw_at(edges, range(self.mesh.values.shape[1]))
        for at in self.parts[:, 1].tolist():
            drawn[..., at : at + PLACE] -= OFFSETS[:, None]  # colours are those of the middle
        return mix_places(np.ascontiguousarray(np.moveaxis(drawn, -1, 1)), self.parts, self.pictures)


def mirrored_part(mesh: PlacedMesh, size: tuple[int, int]) -> Part:
    """Return what a source's placed mesh takes from the other half of the face in the first picture."""
    places = to_px(mesh.values[:, PLACE:MIRROR] + mesh.vertices[:, :2], size)
    return Part(0, np.concatenate([places, mesh.values[:, MIRROR, None]], 1), Taken.SHARE_OF_REST)


def to_px(places: Points, size: tuple[int, int]) -> Points:
    """Bring places (V, 2) from halves of the crop's longer side to px, from the middle of the first pixel."""
    height, width = size
    return np.asarray(places * (max(size) / 2) + (width / 2 - 0.5, height / 2 - 0.5), np.float32)
