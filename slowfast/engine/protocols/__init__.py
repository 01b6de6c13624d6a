"""Evaluation protocols, one file each. Importing this package registers them."""

from slowfast.engine.protocols import baselines, classification, retrieval
from slowfast.engine.protocols.build import PROTOCOL_REGISTRY, Result

__all__ = ["PROTOCOL_REGISTRY", "Result", "baselines", "classification", "retrieval"]
