"""Decoding: video and audio of a file on one clock. ``reader.open_media`` is the way in."""
