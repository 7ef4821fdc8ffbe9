"""The first-order motion model (Siarohin et al., NeurIPS 2019, arXiv 2003.00196): two dimensions, no head pose."""
