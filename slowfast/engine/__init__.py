"""Training, evaluation and feature extraction."""
