"""X3D. ``network`` has the backbone."""
