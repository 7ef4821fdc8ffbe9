"""Which landmarks there are, and those on the lips. Those around the eyes are in eyes.py."""

from __future__ import annotations

import numpy as np

LANDMARKS = 468  # of the mesh, without the irises
# Indices of the landmarks on the lips, once around each contour from the person's right corner along the lower lip.
OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
LIPS = (*OUTER_LIPS, *INNER_LIPS)
# All four contours of the lips, in the order in which the attention mesh refines them: the outer and the inner edge,
# then the two between, inner first. Each runs from the person's right corner along the lower lip to the left corner
# (11 points), then along the upper lip, again from the right (9 points).
LIP_CONTOURS = np.array(
    [
        [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409],
        [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415],
        [76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 184, 74, 73, 72, 11, 302, 303, 304, 408],
        [62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268, 271, 272, 407],
    ]
)
# The brows, upper and lower edge, on the right and the left of the person.
BROWS = (
    (70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    (300, 293, 334, 296, 336, 285, 295, 282, 283, 276),
)
# The nostrils with the tip of the nose, after the map of the mesh's authors.
NOSTRILS = (64, 4, 294, 326, 2, 97)
