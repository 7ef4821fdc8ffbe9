"""The compact family: a mesh-driven warp with small networks, embedded in the package."""
