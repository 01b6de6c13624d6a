"""Readers of a window, one module each.

A module has ``read(path, window)``, which opens the file and returns frames, uint8 (T, H, W, 3),
and audio, float32 (N,), and uses one thread, as a worker of a data loader does. Importing it fails
with ImportError, OSError or RuntimeError where its library cannot be used.
"""
