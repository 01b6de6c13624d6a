"""Rows of the zoo: weights of pytorchvideo, as its own files and as PySlowFast wraps them."""

from __future__ import annotations

from collections.abc import Iterator

from slowfast.models.zoo.rows import ZooEntry, register_rows

__all__ = ["pytorchvideo_kinetics", "pytorchvideo_others"]

_ROOT = "https://dl.fbaipublicfiles.com/pytorchvideo"
_SOURCE = "github.com/facebookresearch/pytorchvideo, docs/source/model_zoo.md"
_LICENCE = "Apache-2.0 (the repository's)"
_VIEWS = "top-1, 3 x 10 views"
_FIVE_VIEWS = "top-1, 1 x 5 views"
_LONG = ("DATA.NUM_FRAMES", "32", "DATA.SAMPLING_RATE", "3")


def _row(file: str, config: str, top1: float | None, /, **fields: object) -> ZooEntry:
    """Make a row of what most have in common."""
    common: dict[str, object] = {
        "name": f"pytorchvideo_{file.split('_f2')[0].lower()}",
        "url": f"{_ROOT}/model_zoo/kinetics/{file}.pyth",
        "config": f"Kinetics/pytorchvideo/{config}.yaml",
        "format": "pytorchvideo",
        "data": "Kinetics-400",
        "licence": _LICENCE,
        "source": _SOURCE,
        "top1": top1,
        "metric": _VIEWS,
    }
    return ZooEntry(**{**common, **fields})  # type: ignore[arg-type]


@register_rows
def pytorchvideo_kinetics() -> Iterator[ZooEntry]:
    """List what was trained on Kinetics-400.

    Yields:
        Rows: each file of pytorchvideo and, where there is one, its copy with PySlowFast's names.
    """
    for file, top1 in (
        ("C2D_8x8_R50", 71.46),
        ("I3D_8x8_R50", 73.27),
        ("SLOW_4x16_R50", 72.40),
        ("SLOW_8x8_R50", 74.58),
        ("SLOWFAST_4x16_R50", 75.34),
        ("SLOWFAST_8x8_R50", 76.94),
        ("SLOWFAST_8x8_R101", 77.90),
        ("SLOWFAST_16x8_R101_50_50", 78.70),
        ("CSN_32x2_R101", 77.00),
        ("R2PLUS1D_16x4_R50", 76.01),
        ("X3D_XS", 69.12),
        ("X3D_S", 73.33),
        ("X3D_M", 75.94),
        ("X3D_L", 77.44),
    ):
        yield _row(file, file, top1)
        yield _row(
            file,
            file,
            top1,
            name=f"pyslowfast_ptv_{file.lower()}",
            url=f"{_ROOT}/pysf_model_zoo/kinetics/{file}.pyth",
            format="pytorchvideo, in PySlowFast's wrapper",
            source="github.com/facebookresearch/SlowFast, projects/pytorchvideo/README.md",
        )
    yield _row("MVIT_B_16x4", "MVIT_B_16x4_CONV", 78.85, metric=_FIVE_VIEWS)
    yield _row("MVIT_B_32x3_f294077834", "MVIT_B_16x4_CONV", 80.30, metric=_FIVE_VIEWS, words=_LONG)


@register_rows
def pytorchvideo_others() -> Iterator[ZooEntry]:
    """List what was trained further on Something-Something v2.

    Yields:
        Rows.
    """
    for file, top1 in (("SLOW_8x8_R50", 60.04), ("SLOWFAST_8x8_R50", 61.68)):
        yield _row(
            file,
            file,
            top1,
            name=f"pytorchvideo_ssv2_{file.lower()}",
            url=f"{_ROOT}/model_zoo/ssv2/{file}.pyth",
            config=f"SSv2/pytorchvideo/{file}.yaml",
            data="Something-Something v2 (from Kinetics-400)",
            metric="top-1, 3 x 1 views",
        )
