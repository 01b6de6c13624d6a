"""On the models' device: from uint8 frames and waveforms to normalized floats and log-mel."""
