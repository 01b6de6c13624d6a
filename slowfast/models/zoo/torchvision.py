"""Rows of the zoo: weights of torchvision, whose file names carry a hash."""

from __future__ import annotations

from collections.abc import Iterator

from slowfast.models.zoo.rows import ZooEntry, register_rows

__all__ = ["torchvision_images", "torchvision_videos"]

_ROOT = "https://download.pytorch.org/models"
_SOURCE = "torchvision 0.29, docs.pytorch.org/vision/stable/models.html"
_CLIPS = "5 clips of 16 frames"
_LICENCE = "BSD-3-Clause (the library's; it names none for weights)"


@register_rows
def torchvision_videos() -> Iterator[ZooEntry]:
    """List the video networks.

    Yields:
        Rows.
    """
    for name, file, config, top1, metric in (
        ("r3d_18", "r3d_18-b3b3357e", "torchvision/R3D_18", 63.200, _CLIPS),
        ("mc3_18", "mc3_18-a90a0ba3", "torchvision/MC3_18", 63.960, _CLIPS),
        ("r2plus1d_18", "r2plus1d_18-91a641e6", "torchvision/R2PLUS1D_18", 67.463, _CLIPS),
        ("s3d", "s3d-d76dad2f", "torchvision/S3D", 68.368, "1 clip of 128 frames"),
        ("mvit_v1_b", "mvit_v1_b-dbeb1030", "MVIT_B_16x4_CONV", 78.477, _CLIPS),
        ("mvit_v2_s", "mvit_v2_s-ae3be167", "MVITv2_S_16x4", 80.757, _CLIPS),
    ):
        yield ZooEntry(
            name=f"torchvision_{name}",
            url=f"{_ROOT}/{file}.pth",
            config=f"Kinetics/{config}.yaml",
            format="torchvision",
            data="Kinetics-400",
            licence=_LICENCE,
            top1=top1,
            metric=f"top-1, {metric}",
            source=_SOURCE,
        )


@register_rows
def torchvision_images() -> Iterator[ZooEntry]:
    """List the image networks, to be inflated.

    Yields:
        Rows.
    """
    for name, file, config, top1 in (
        ("resnet18", "resnet18-f37072fd", "Kinetics/torchvision/R3D_18.yaml", 69.758),
        ("resnet50", "resnet50-0676ba61", "Kinetics/C2D_8x8_R50_IN1K.yaml", 76.130),
        ("resnet50_v2", "resnet50-11ad3fa6", "Kinetics/C2D_8x8_R50_IN1K.yaml", 80.858),
        ("resnet101", "resnet101-63fe2227", "Kinetics/I3D_8x8_R101.yaml", 77.374),
        ("resnet101_v2", "resnet101-cd907fc2", "Kinetics/I3D_8x8_R101.yaml", 81.886),
    ):
        yield ZooEntry(
            name=f"torchvision_{name}",
            url=f"{_ROOT}/{file}.pth",
            config=config,
            format="torchvision, images",
            data="ImageNet-1k",
            licence=_LICENCE,
            top1=top1,
            metric="top-1 on ImageNet's images",
            source=_SOURCE,
            words=("TRAIN.CHECKPOINT_INFLATE", "True"),
            note="2-D weights, to be inflated; the classifier is left out. They were trained on "
            "pictures normalized by DATA.MEAN [0.485, 0.456, 0.406], DATA.STD [0.229, 0.224, "
            "0.225].",
        )
