"""S3D and S3D-G. ``network`` has the backbone."""
