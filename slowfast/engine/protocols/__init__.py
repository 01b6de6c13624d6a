"""Evaluation protocols, one file each. Importing this package registers them."""

from slowfast.engine.protocols import (
    av_sync,
    baselines,
    class_retrieval,
    classification,
    cross_modal_retrieval,
    few_shot,
    knn,
    linear_probe,
    linear_svm,
)
from slowfast.engine.protocols.build import PROTOCOL_REGISTRY, Result

__all__ = [
    "PROTOCOL_REGISTRY",
    "Result",
    "av_sync",
    "baselines",
    "class_retrieval",
    "classification",
    "cross_modal_retrieval",
    "few_shot",
    "knn",
    "linear_probe",
    "linear_svm",
]
