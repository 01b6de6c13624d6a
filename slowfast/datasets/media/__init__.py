"""Decoding of video and audio on a shared PTS timeline; start at ``reader.open_media``."""
