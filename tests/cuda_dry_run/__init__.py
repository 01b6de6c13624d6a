"""A training step on a GPU that is not there: tensors have shapes and devices, no values."""
