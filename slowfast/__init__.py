"""A PySlowFast-style framework for learning from video and sound."""

__version__ = "0.1.0"
