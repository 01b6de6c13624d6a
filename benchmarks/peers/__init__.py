"""Other libraries and orders of work, each in its own recommended way."""
