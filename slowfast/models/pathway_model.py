"""Trains and tests models that are written as PySlowFast's are.

Legend: B batch, V views, T frames, H W height and width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from fvcore.common.config import CfgNode
from torch import Tensor, nn

from slowfast.models.classifier import ClassifierOutputs
from slowfast.models.method import Method
from slowfast.utils.pathways import split_pathways

__all__ = ["PathwayModel"]

_PREFIX = "model."


class PathwayModel(Method):
    """A model with PySlowFast's interface as a method of the trainer.

    Args:
        model: Takes a list of float (N, 3, T, H, W), one per pathway, and returns (N, classes):
            logits in training, scores in evaluation.
        cfg: Read: MODEL.ARCH, MODEL.NUM_CLASSES, SLOWFAST.ALPHA.
    """

    classifies: ClassVar[bool] = True

    def __init__(self, model: nn.Module, cfg: CfgNode) -> None:
        super().__init__()
        self.model = model
        self.num_classes = int(cfg.MODEL.NUM_CLASSES)
        self._cfg = cfg

    def forward(self, batch: Mapping[str, Any]) -> ClassifierOutputs:
        """Classify a batch.

        Args:
            batch: ``video`` float, normalized, (B, V, 3, T, H, W).

        Returns:
            Logits in training.
        """
        video = batch["video"]
        outputs: Tensor = self.model(split_pathways(self._cfg, video.flatten(0, 1)))
        return ClassifierOutputs(outputs.unflatten(0, video.shape[:2]))

    def embed(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute the scores of each view.

        Args:
            batch: As for ``forward``.

        Returns:
            ``scores``: float (B, V, classes).
        """
        return {"scores": self.forward(batch).logits}

    @staticmethod
    def adapt_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Accept weights of the model alone, such as a script has saved."""
        return {_PREFIX + key.removeprefix(_PREFIX): value for key, value in state.items()}
