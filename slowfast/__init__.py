"""A PySlowFast-style framework for learning from video and audio."""

__version__ = "0.1.0"
