"""Checkpoint formats that belong to no single family of backbones."""
