"""What every layer needs: distributed work, checkpoints, randomness, logging, meters."""
