"""Named weights: ``rows`` holds the registry and finds files, the others fill it."""
