"""Space-Time Crop and Attend (StiCA, ICCV 2021): importing registers its parts."""

from stica import checkpoint_format, crops, heads, loss, model, pooling, released
from stica.config import add_config

__all__ = [
    "add_config",
    "checkpoint_format",
    "crops",
    "heads",
    "loss",
    "model",
    "pooling",
    "released",
]
