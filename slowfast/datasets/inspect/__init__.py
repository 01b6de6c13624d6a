"""The one media checker. ``checker.inspect_media`` is the way in; ``report`` says what it finds."""

LEVELS = ("headers", "sample", "full")
"""How closely a file is looked at; the quickest first."""
