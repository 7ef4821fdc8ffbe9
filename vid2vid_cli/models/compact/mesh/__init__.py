"""The face mesh: its topology, how it is placed and rasterised, and the flow that it gives."""
