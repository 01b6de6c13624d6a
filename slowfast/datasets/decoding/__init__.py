"""From a file to frames and samples on one timeline. ``reader.open_media`` is the entry point."""
