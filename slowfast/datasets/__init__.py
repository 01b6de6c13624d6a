"""Datasets, decoding, augmentation and loaders: from media files to batches on the device."""
