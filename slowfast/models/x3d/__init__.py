"""X3D. ``network`` holds the backbone."""
