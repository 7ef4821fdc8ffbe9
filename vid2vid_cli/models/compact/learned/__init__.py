"""The networks of compact: a correction of the mesh's flow, and a painter."""
