"""Pictures, videos and sound; the only place that knows ffmpeg."""
