"""Supervised audio classification: an audio backbone with a pooling and a head.

Legend: B batch, A audio clips, C channels, F mel bins, S time frames, F' S' feature map.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fvcore.common.config import CfgNode
from torch import Tensor

from slowfast.models.build import MODEL_REGISTRY
from slowfast.models.classifier import Classifier, build_classifier
from slowfast.models.contracts import BackboneOutput

__all__ = ["AudioClassifier", "audio_classifier"]

_BRANCH = "audio_backbone."


class AudioClassifier(Classifier):
    """An audio backbone, a pooling over time and a head.

    A feature map of audio is treated as one of video of height F' and width 1, so that all
    poolings can be used, and feature crops in time. Arguments are those of Classifier.
    """

    modality = "audio"

    def encode(self, batch: Mapping[str, Any]) -> BackboneOutput:
        """Compute the feature maps of the backbone.

        Args:
            batch: ``audio`` float log-mel, (B, A, 1, F, S).

        Returns:
            Maps (B * A, C, S', F', 1): time first, as in video.
        """
        maps = self.backbone(batch["audio"].flatten(0, 1)).maps  # (B * A, C, F', S')
        return BackboneOutput([m.transpose(2, 3).unsqueeze(-1) for m in maps])

    @staticmethod
    def adapt_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Extract the audio encoder from the weights of an audio-visual model.

        Returns:
            The encoder's weights under ``backbone``; unchanged if there is no audio encoder.
        """
        branch = {
            key.removeprefix("audio_"): value
            for key, value in state.items()
            if key.startswith(_BRANCH)
        }
        return branch or dict(state)


@MODEL_REGISTRY.register_as("AudioClassifier")
def audio_classifier(cfg: CfgNode) -> Classifier:
    """Build a classifier of audio on AUDIO.ARCH.

    Args:
        cfg: As for ``build_classifier``; the backbone is AUDIO.ARCH.

    Returns:
        The classifier.
    """
    return build_classifier(cfg, AudioClassifier, cfg.AUDIO.ARCH)
