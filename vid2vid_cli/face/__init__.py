"""From a frame to its faces: detection, the 468-point mesh, crops and pasting back."""
