"""Pure functions on tensors: rotations, keypoints, grids, affine maps."""
