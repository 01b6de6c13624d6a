"""Checkpoint formats that are not specific to one model family."""
