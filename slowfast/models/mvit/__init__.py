"""MViT v1 and v2 and plain vision transformers. ``network.MViT`` is the backbone."""
