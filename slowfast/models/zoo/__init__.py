"""Named weights: ``rows`` has the registry and resolves paths, the other modules fill it."""
