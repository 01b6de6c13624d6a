"""Space-Time Crop and Attend (StiCA, ICCV 2021): importing registers its components."""

import stica.avid
import stica.build
import stica.checkpoint_format
import stica.crops
import stica.heads
import stica.pooling
import stica.zoo  # noqa: F401  (all of these register their components)
from stica.config import add_config

__all__ = ["add_config"]
