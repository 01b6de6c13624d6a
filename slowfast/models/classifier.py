"""Supervised classification: backbone, pooling, head, and feature crops.

In a classifier, feature crops are an augmentation: the head classifies the full feature map and K
crops of it, all with the label of the sample. Evaluation uses the full map only.

Legend: B batch, V views, K crops, C channels, T frames, T' H' W' feature map.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from slowfast.models.batch_norm import frozen_bn
from slowfast.models.build import (
    BACKBONE_REGISTRY,
    FEATURE_AUG_REGISTRY,
    HEAD_REGISTRY,
    MODEL_REGISTRY,
)
from slowfast.models.contracts import BackboneOutput, CropGroup
from slowfast.models.heads import activate
from slowfast.models.method import Method
from slowfast.models.pooling import build_pooling, full_group, pool_groups
from slowfast.models.windows import ScoreWindows, combine_windows, split_windows

__all__ = ["Classifier", "ClassifierOutputs", "build_classifier", "video_classifier"]


class ClassifierOutputs(NamedTuple):
    """Outputs of a classifier.

    Attributes:
        logits: float (B, V, classes), of the full feature maps.
        crop_logits: float (K, B, V, classes), of the crops; None without crops.
    """

    logits: Tensor
    crop_logits: Tensor | None = None


class Classifier(Method):
    """A video backbone, a pooling per pathway and a head.

    Args:
        backbone: ``(N, 3, T, H, W) -> BackboneOutput``, with ``out_channels``.
        pooling: One ``Tokens`` per pathway -> (N, C).
        head: ``(x, groups) -> (N, classes)``.
        feature_aug: ``(maps, aug_seed) -> list[CropGroup]``, used in training; None for none.
        use_summary: Use the backbone's summary (if any) as pooled features of the full map.
        frozen: Names of the components that stay in evaluation mode without gradient: ``backbone``
            for an attentive probe, also ``pooling`` for a linear probe.
        frozen_bn: Batch norm uses its running statistics in training.
        num_classes: Outputs of the head, to check labels against; None: not checked.

    Attributes:
        modality: Entry of the batch that is the input, and name of the returned features.
        head_act: MODEL.HEAD_ACT, for ``classify``.
        windows: The windows of the map whose scores are averaged in evaluation; None: the head sees
            the average of the full map.
    """

    modality = "video"
    head_act = "softmax"
    output_batch_dims: ClassVar[Mapping[str, int | None]] = {"crop_logits": 1}
    classifies: ClassVar[bool] = True

    def __init__(
        self,
        backbone: nn.Module,
        pooling: nn.Module,
        head: nn.Module,
        *,
        feature_aug: nn.Module | None = None,
        use_summary: bool = False,
        frozen: Collection[str] = (),
        frozen_bn: bool = False,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooling = pooling
        self.head = head
        self.feature_aug = feature_aug
        self.use_summary = use_summary
        self.frozen = tuple(frozen)
        self.frozen_bn = frozen_bn
        self.num_classes = num_classes
        self.windows: ScoreWindows | None = None
        for name in self.frozen:
            self.get_submodule(name).requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode; frozen components stay in evaluation mode."""
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        if self.frozen_bn:
            frozen_bn(self)
        return self

    def forward(
        self, batch: Mapping[str, Any] | Tensor | Sequence[Tensor]
    ) -> ClassifierOutputs | Tensor:
        """Classify a batch of the loader, or clips.

        Args:
            batch: Input of ``encode``; with a feature augmentation, in training, also ``aug_seed``
                int64 (B,). Or the input of ``classify``.

        Returns:
            Logits of the full maps and, in training with a feature augmentation, of the crops. For
            clips: the result of ``classify``.
        """
        if not isinstance(batch, Mapping):
            return self.classify(batch)
        views = batch[self.modality].shape[:2]  # B, V
        crops = 0
        with self._gradients("backbone"):
            out = self.encode(batch)  # rows: B * V
        with self._gradients("pooling"):
            groups: list[CropGroup] = []
            if self.training and self.feature_aug is not None:
                groups = self.feature_aug(out.maps, batch["aug_seed"])
                crops = sum(len(group.names) for group in groups)
            pooled = self._pool(out, groups)  # ((1 + K) * B * V, C)
        logits = self._classify(out, pooled, 1 + crops).unflatten(0, (1 + crops, *views))
        return ClassifierOutputs(logits[0], logits[1:] if crops else None)

    def classify(self, clips: Tensor | Sequence[Tensor]) -> Tensor:
        """Classify clips, called as PySlowFast's models: ``model([clip])``.

        Args:
            clips: float, normalized, (B, 3, T, H, W), (B, 1, F, S) for audio; a list of it; or a
                list of one input per pathway of the backbone, such as [slow, fast].

        Returns:
            float (B, classes): in training logits, in evaluation scores (MODEL.HEAD_ACT). Feature
            crops, which need a seed per sample, are not used.

        Raises:
            ValueError: If the number of inputs does not fit the backbone.
        """
        inputs = [clips] if isinstance(clips, Tensor) else list(clips)
        with self._gradients("backbone"):
            if len(inputs) == 1:
                out = self.encode({self.modality: inputs[0].unsqueeze(1)})
            else:
                out = self._encode_pathways(inputs)
        with self._gradients("pooling"):
            pooled = self._pool(out, [])
        logits = self._classify(out, pooled)
        return logits if self.training else activate(logits, self.head_act)

    def _encode_pathways(self, inputs: list[Tensor]) -> BackboneOutput:
        encode = getattr(self.backbone, "encode_pathways", None)
        pathways = len(self.backbone.out_channels)  # type: ignore[arg-type]
        if encode is None or len(inputs) != pathways:
            raise ValueError(
                f"clips: got {len(inputs)} tensors, the backbone has {pathways} pathway(s); "
                "expected one clip, or a list of one input per pathway."
            )
        output: BackboneOutput = encode(inputs)
        return output

    def embed(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute features and logits of the full maps, for evaluation.

        Args:
            batch: Input of ``encode``.

        Returns:
            ``video`` (the ``modality``): pooled features (B, V, C); ``logits``: (B, V, classes).
        """
        views = batch[self.modality].shape[:2]
        out = self.encode(batch)
        pooled = self._pool(out, [])
        return {
            self.modality: pooled.unflatten(0, views),
            "logits": self._classify(out, pooled).unflatten(0, views),
        }

    def encode(self, batch: Mapping[str, Any]) -> BackboneOutput:
        """Compute the feature maps of the backbone.

        Args:
            batch: ``video`` float, normalized, (B, V, 3, T, H, W).

        Returns:
            Maps and summary of B * V rows.
        """
        output: BackboneOutput = self.backbone(batch["video"].flatten(0, 1))
        return output

    def _gradients(self, component: str) -> torch.set_grad_enabled:
        """Enable gradients unless the component is frozen or gradients are disabled."""
        return torch.set_grad_enabled(torch.is_grad_enabled() and component not in self.frozen)

    def _pool(self, out: BackboneOutput, crops: list[CropGroup]) -> Tensor:
        """Pool full maps and crops; rows of the full maps come first."""
        if not self.use_summary or out.summary is None:
            reads_space = getattr(self.pooling, "reads_space", False)
            full = full_group(out.maps, reads_space=reads_space)
            return pool_groups(self.pooling, [full, *crops])
        if not crops:
            return out.summary
        return torch.cat([out.summary, pool_groups(self.pooling, crops)])

    def _classify(self, out: BackboneOutput, pooled: Tensor, groups: int = 1) -> Tensor:
        """Compute logits of pooled rows, in evaluation maybe from windows of the full maps."""
        if self.windows is not None and not self.training:
            maps, count = split_windows(out.maps, self.windows.side)
            if count > 1:
                each: Tensor = self.head(self._pool(BackboneOutput(maps), []))  # (W * N, classes)
                return combine_windows(each.unflatten(0, (count, -1)), self.windows.head_act)
        logits: Tensor = self.head(pooled, groups=groups)
        return logits

    def no_weight_decay(self) -> set[str]:
        """Return the names of backbone parameters without weight decay."""
        names: set[str] = getattr(self.backbone, "no_weight_decay", set)()
        return {f"backbone.{name}" for name in names}

    @property
    def num_layers(self) -> int:
        """Index of the last layer, the head, for SOLVER.LAYER_DECAY."""
        return getattr(self.backbone, "num_layers", 0) + 1

    def layer_id(self, name: str) -> int:
        """Return the layer index of a parameter, from 0 at the input, for SOLVER.LAYER_DECAY.

        A backbone without ``num_layers`` and ``layer_id`` counts as one layer: a decay of 0.1 then
        trains it, and the pooling, with a tenth of the head's learning rate.

        Args:
            name: Name of the parameter.

        Returns:
            0 to ``num_layers``.
        """
        if name.startswith("head."):
            return self.num_layers
        number = getattr(self.backbone, "layer_id", None)
        if name.startswith("backbone.") and number is not None:
            return number(name.removeprefix("backbone."))
        return self.num_layers - 1


def build_classifier(
    cfg: CfgNode, kind: type[Classifier] = Classifier, arch: str = ""
) -> Classifier:
    """Build a classifier with any backbone.

    Model families register a function in MODEL_REGISTRY that calls this.

    Args:
        cfg: Read: MODEL.ARCH, POOLING, HEAD, NUM_CLASSES, FEATURE_AUG, DETACH_FINAL_FC,
            FREEZE_BACKBONE, FROZEN_BN, HEAD_ACT, DATA.SAMPLING, TRAIN_CROP_SIZE, and the keys of
            the components.
        kind: Class to build.
        arch: Name of the backbone; empty: MODEL.ARCH.

    Returns:
        The classifier.
    """
    model = cfg.MODEL
    backbone = BACKBONE_REGISTRY.get(arch or model.ARCH)(cfg)
    pooling = build_pooling(cfg, backbone)
    head = HEAD_REGISTRY.get(model.HEAD)(pooling.dim_out, model.NUM_CLASSES, cfg)
    augment = None
    if model.FEATURE_AUG != "none":
        augment = FEATURE_AUG_REGISTRY.get(model.FEATURE_AUG)(cfg)
    frozen = ["backbone"] if model.FREEZE_BACKBONE else []
    if model.DETACH_FINAL_FC:
        frozen = ["backbone", "pooling"]
    classifier = kind(
        backbone,
        pooling,
        head,
        feature_aug=augment,
        use_summary=model.POOLING == "native",
        frozen=frozen,
        frozen_bn=model.FROZEN_BN,
        num_classes=model.NUM_CLASSES,
    )
    classifier.windows = _score_windows(cfg, backbone)
    classifier.head_act = model.HEAD_ACT
    return classifier


def _score_windows(cfg: CfgNode, backbone: nn.Module) -> ScoreWindows | None:
    """Return the windows of PySlowFast's head of a family, if they are asked for."""
    side = getattr(backbone, "window_side", None)
    if side is None or cfg.DATA.SAMPLING != "pyslowfast" or cfg.MODEL.POOLING != "native":
        return None
    return ScoreWindows(side(cfg.DATA.TRAIN_CROP_SIZE), cfg.MODEL.HEAD_ACT)


@MODEL_REGISTRY.register_as("ResNet", "ResNet_nopool", "SlowFast", "X3D")
@MODEL_REGISTRY.register_as("PTVResNet", "PTVSlowFast", "PTVCSN", "PTVR2plus1D")
@MODEL_REGISTRY.register_as("VideoResNet", "C3D", "S3D")
def video_classifier(cfg: CfgNode) -> Classifier:
    """Build a classifier on MODEL.ARCH.

    PySlowFast has a model for each family of convolutional networks, and another one for those of
    pytorchvideo (``PTV``); here all of these names use this function.

    Args:
        cfg: As for ``build_classifier``.

    Returns:
        The classifier.
    """
    return build_classifier(cfg)
