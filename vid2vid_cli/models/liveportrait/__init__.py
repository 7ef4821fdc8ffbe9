"""LivePortrait (Guo et al., arXiv 2407.03168): face-vid2vid's plan with another motion extractor, and 512x512 out."""
