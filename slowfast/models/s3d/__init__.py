"""S3D and S3D-G. ``network`` holds the backbone."""
