"""Checking, re-encoding and indexing folders of media files, for ``tools/prepare_data.py``."""
