"""Rows of the zoo: PySlowFast's own weights, as ``.pyth`` files and as Caffe2 pickles."""

from __future__ import annotations

from collections.abc import Iterator

from slowfast.models.zoo.rows import ZooEntry, register_rows

__all__ = [
    "pyslowfast_caffe2",
    "pyslowfast_contrastive",
    "pyslowfast_images",
    "pyslowfast_masked",
    "pyslowfast_mvit",
    "pyslowfast_x3d",
]

_ROOT = "https://dl.fbaipublicfiles.com/pyslowfast"
_SOURCE = "github.com/facebookresearch/SlowFast, {}"
_LICENCE = "Apache-2.0 (the repository's)"
_VIEWS = "top-1, 3 x 10 views"
_FIVE_VIEWS = "top-1, 1 x 5 views"
_BACKBONE_ONLY = (
    "For `MODEL.ARCH slow`: only the backbone is loaded, to be probed or fine-tuned; the "
    "classifier is new. What else the pretraining needed is skipped: that is not built here."
)
_TRAINED_WITH_MULTIGRID = (
    "Trained with multigrid, which is not built here; testing and fine-tuning are the same."
)
_MULTIGRID = "pyslowfast/model_zoo/multigrid/model_zoo"


def _row(name: str, url: str, config: str, top1: float | None, /, **fields: object) -> ZooEntry:
    """Make a row of what most have in common."""
    common: dict[str, object] = {
        "name": f"pyslowfast_{name}",
        "url": f"{_ROOT}/{url}",
        "config": f"{config}.yaml",
        "format": "PySlowFast",
        "data": "Kinetics-400",
        "licence": _LICENCE,
        "top1": top1,
        "metric": _VIEWS,
        **fields,
    }
    common["source"] = _SOURCE.format(fields.get("source", "MODEL_ZOO.md"))
    return ZooEntry(**common)  # type: ignore[arg-type]


@register_rows
def pyslowfast_caffe2() -> Iterator[ZooEntry]:
    """List the Caffe2 pickles.

    Yields:
        Rows.
    """
    for file, config, top1 in (
        ("C2D_NOPOOL_8x8_R50", "C2D_NOPOOL_8x8_R50", 67.2),
        ("I3D_8x8_R50", "I3D_8x8_R50", 73.5),
        ("I3D_NLN_8x8_R50", "I3D_NLN_8x8_R50", 74.0),
        ("SLOWONLY_4x16_R50", "SLOW_4x16_R50", 72.7),
        ("SLOWONLY_8x8_R50", "SLOW_8x8_R50", 74.8),
        ("SLOWFAST_4x16_R50", "SLOWFAST_4x16_R50", 75.6),
        ("SLOWFAST_8x8_R50", "SLOWFAST_8x8_R50", 77.0),
    ):
        yield _row(
            f"c2_{config.lower()}",
            f"model_zoo/kinetics400/{file}.pkl",
            f"Kinetics/c2/{config}",
            top1,
            format="Caffe2",
        )
    for folder, file, data, top1, views in (
        ("Kinetics", "SLOWFAST_8x8_R50_stepwise", "Kinetics-400", 76.8, _VIEWS),
        ("Kinetics", "SLOWFAST_8x8_R50_stepwise_multigrid", "Kinetics-400", 76.6, _VIEWS),
        ("SSv2", "SLOWFAST_16x8_R50", "Something-Something v2 (from Kinetics-400)", 63.0, "top-1"),
        (
            *("SSv2", "SLOWFAST_16x8_R50_multigrid"),
            *("Something-Something v2 (from Kinetics-400)", 63.5, "top-1"),
        ),
    ):
        config = f"{folder}/{file.removesuffix('_multigrid')}"
        yield _row(
            f"{folder.lower()}_{file.lower()}",
            f"{_MULTIGRID}/{folder}/{file}.pkl",
            config,
            top1,
            format="Caffe2",
            data=data,
            metric=views,
            note=_TRAINED_WITH_MULTIGRID if "multigrid" in file else "",
        )


@register_rows
def pyslowfast_x3d() -> Iterator[ZooEntry]:
    """List X3D.

    Yields:
        Rows.
    """
    for size, top1 in (("XS", 69.5), ("S", 73.5), ("M", 76.2), ("L", 77.5)):
        name = f"x3d_{size.lower()}"
        yield _row(name, f"x3d_models/{name}.pyth", f"Kinetics/X3D_{size}", top1)


@register_rows
def pyslowfast_mvit() -> Iterator[ZooEntry]:
    """List MViT and MViTv2.

    Yields:
        Rows.
    """
    half_as_deep = "[[1, 1, 2, 2], [3, 1, 2, 2], [14, 1, 2, 2]]"
    wider = "[[1, 2.0], [3, 2.0], [14, 2.0]]"
    yield _row(
        *("mvit_b_32x3", "model_zoo/mvit/k400.pyth", "Kinetics/MVIT_B_32x3_CONV", 80.4),
        metric=_FIVE_VIEWS,
        words=(
            *("MVIT.DEPTH", "16", "MVIT.POOL_Q_STRIDE", half_as_deep),
            *("MVIT.DIM_MUL", wider, "MVIT.HEAD_MUL", wider),
        ),
        note="The YAML has 24 layers, the paper's network of this accuracy 16; which the file has "
        "could not be looked up. The report of loading shows it.",
    )
    yield _row(
        *("mvit_b_24_32x3_k600", "model_zoo/mvit/k600.pyth", "Kinetics/MVIT_B_32x3_CONV", 83.9),
        data="Kinetics-600",
        metric=_FIVE_VIEWS,
        words=("MODEL.NUM_CLASSES", "600"),
    )
    for size, frames, file, config, top1, views in (
        ("s", "16x4", "S_16x4_k400_f302660347", "S_16x4", 81.0, _FIVE_VIEWS),
        ("b", "32x3", "B_32x3_k400_f304025456", "B_32x3", 82.9, _FIVE_VIEWS),
        ("l", "40x3", "L_40x3_k400_f306903192", "L_40x3_test", 86.1, "top-1, 3 x 5 views"),
    ):
        yield _row(
            f"mvitv2_{size}_{frames}",
            f"model_zoo/mvitv2/pysf_video_models/MViTv2_{file}.pyth",
            f"Kinetics/MVITv2_{config}",
            top1,
            metric=views,
            source="projects/mvitv2/README.md",
        )


@register_rows
def pyslowfast_images() -> Iterator[ZooEntry]:
    """List what was trained on images.

    Yields:
        Rows.
    """
    yield _row(
        *("r50_in1k", "model_zoo/kinetics400/R50_IN1K.pyth", "Kinetics/C2D_8x8_R50_IN1K", 76.4),
        data="ImageNet-1k",
        metric="top-1 on ImageNet's images",
        words=("TRAIN.CHECKPOINT_INFLATE", "True"),
        note="2-D weights, to be inflated; what the *_IN1K YAMLs start from.",
    )


@register_rows
def pyslowfast_contrastive() -> Iterator[ZooEntry]:
    """List what was trained without labels, by contrast.

    Yields:
        Rows: weights to probe or to fine-tune; the heads of the methods are left out.
    """
    for method, clip, rho, top1 in (
        ("MoCo", "8x8", 2, 66.6),
        ("BYOL", "8x8", 2, 67.4),
        ("SimCLR", "8x8", 2, 61.5),
        ("SwAV", "8x8", 2, 62.6),
        ("MoCo", "8x8", 4, 71.0),
        ("BYOL", "8x8", 4, 70.1),
        ("BYOL", "16x4", 4, 71.1),
    ):
        yield _row(
            f"{method.lower()}_slow_r50_{clip}_rho{rho}",
            f"videomoco_models/{method}_SlowR50_{clip}_T{rho}_epoch_00200.pyth",
            "contrastive_ssl/linear_k400_Slow_8x8_R50_syn0",
            top1,
            data="Kinetics-400, without labels",
            metric="linear probe on Kinetics-400",
            source="projects/contrastive_ssl/README.md",
            words=() if clip == "8x8" else ("DATA.NUM_FRAMES", "16", "DATA.SAMPLING_RATE", "4"),
            note=_BACKBONE_ONLY,
        )


@register_rows
def pyslowfast_masked() -> Iterator[ZooEntry]:
    """List what was trained without labels, by prediction of what is masked.

    Yields:
        Rows: weights to fine-tune; their decoders are left out.
    """
    maskfeat, mae = "projects/maskfeat/README.md", "projects/mae/README.md"
    for name, file, config, top1, source in (
        ("maskfeat_mvitv2_s", "k400_MVIT_S_MaskFeat_PT_epoch_00300", "MVITv2_S", 82.2, maskfeat),
        ("maskfeat_mvitv2_l", "k400_MVIT_L_MaskFeat_PT_epoch_00800", "MVITv2_L", 84.3, maskfeat),
        ("mae_vit_b", "VIT_B_16x4_MAE_PT", "VIT_B", 81.3, mae),
        ("mae_vit_l", "VIT_L_16x4_MAE_PT", "VIT_L", 84.8, mae),
        ("mae_vit_h", "VIT_H_16x4_MAE_PT_400e_85.1", "VIT_H", 85.1, mae),
    ):
        yield _row(
            f"{name}_16x4",
            f"masked_models/{file}.pyth",
            f"masked_ssl/k400_{config}_16x4_FT",
            top1,
            data="Kinetics-400, without labels",
            metric="after fine-tuning on Kinetics-400",
            source=source,
        )
    for size, top1 in (("B", 84.0), ("L", 85.7)):
        yield _row(
            f"maskfeat_vit_{size.lower()}_in1k",
            f"masked_models/in1k_VIT_{size}_MaskFeat_PT_epoch_01600.pyth",
            f"masked_ssl/in1k_VIT_{size}_MaskFeat_FT",
            top1,
            data="ImageNet-1k, without labels",
            metric="after fine-tuning on ImageNet-1k",
            source=maskfeat,
        )
