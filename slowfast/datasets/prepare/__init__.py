"""Checking, re-encoding and indexing whole folders: what ``tools/prepare_data.py`` does."""
