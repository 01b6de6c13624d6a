"""The generator of the built-in demo set. ``generator.generate_demo`` is the way in."""
