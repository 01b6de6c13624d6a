"""What an adapter returns, and the registry of adapters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from slowfast.inference.adapters.processor import FrameTransform
from slowfast.utils.io import read_json
from slowfast.utils.registry import Registry

__all__ = ["ADAPTER_REGISTRY", "AdaptedModel", "ModelFolder", "find_model_folder"]

ADAPTER_REGISTRY = Registry(
    "model_type",
    "config.json: model_type",
    filled_by="slowfast.inference.adapters.entries",
)
ADAPTER_REGISTRY.__doc__ = """
``(ModelFolder) -> AdaptedModel``, by the ``model_type`` of config.json.
"""

CONFIG_NAME = "config.json"
_REMEDY = "Download it again."
_PROCESSOR, _VIDEO, _OTHER = (
    "processor_config.json",
    "video_preprocessor_config.json",
    "preprocessor_config.json",
)


@dataclass(frozen=True)
class AdaptedModel:
    """A model of another library as ``FrozenModel`` needs it.

    Attributes:
        encoder: A module with ``embed(batch)``; see ``engine.features.EmbeddingModel``. Audio comes
            as waveforms, float (B, A, N).
        settings: Keys of the configuration that describe its clips -> values.
        transform: Resizes and crops the frames of a clip; None: the model reads no video.
        class_names: Names of the classes of a classifier; empty for other models.
        has_joint_space: Whether its video and audio embeddings are in one space.
        fixed: Keys of ``settings`` whose values the weights require.
    """

    encoder: nn.Module
    settings: Mapping[str, Any]
    transform: FrameTransform | None = None
    class_names: tuple[str, ...] = ()
    has_joint_space: bool = False
    fixed: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelFolder:
    """A folder in Hugging Face's layout.

    Attributes:
        path: The folder.
        name: Name for messages.
        config: Content of config.json.
    """

    path: Path
    name: str
    config: Mapping[str, Any]

    @property
    def model_type(self) -> str:
        """Kind of the model, such as "videomae"."""
        return str(self.config["model_type"])

    @property
    def architecture(self) -> str:
        """Class of the model that was saved, or ""."""
        return next(iter(self.config.get("architectures") or []), "")

    def processor(self, kind: str) -> dict[str, Any]:
        """Read the settings of a processor.

        Args:
            kind: "video_processor" or "feature_extractor", the entry of processor_config.json.

        Returns:
            Its settings; empty if the folder has none.
        """
        nested = read_json(self.path / _PROCESSOR, _REMEDY)
        files = [_OTHER] if kind == "feature_extractor" else [_VIDEO, _OTHER]
        found = [nested.get(kind), *(read_json(self.path / name, _REMEDY) for name in files)]
        return dict(next(filter(None, found), {}))


def find_model_folder(path: Path, name: str) -> ModelFolder | None:
    """Return a folder with a model of another library in Hugging Face's layout.

    Args:
        path: Any path.
        name: Name for messages.

    Returns:
        The folder; None if it has no config.json with a ``model_type``.

    Raises:
        UserError: If config.json cannot be read.
    """
    if not (path / CONFIG_NAME).is_file():
        return None
    config = read_json(path / CONFIG_NAME, _REMEDY)
    return ModelFolder(path, name, config) if "model_type" in config else None
