"""The one media checker. ``checker.inspect_media`` is the way in; ``report`` says what it finds."""
