"""Utilities of every layer: distributed training, checkpoints, random numbers, logging, meters."""
