"""The networks of compact: a correction of the mesh's flow, and what is painted."""
