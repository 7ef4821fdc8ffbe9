"""Pictures, videos and sound, read and written: the only folder that knows ffmpeg."""
