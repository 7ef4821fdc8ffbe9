"""An invisible watermark of 64 bits in the luma of pictures and films: the second layer beside signed credentials."""
