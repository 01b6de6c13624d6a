"""Weights of methods related to StiCA, and small ones of ours. StiCA's own were never released.

Its authors' page has said "soon" since 2021. GDT (Patrick et al., 2020) is its predecessor and has
the same two encoders and heads; AVID-CMA (Morgado et al., CVPR 2021) has other encoders, which
``stica.avid`` builds. The weights in ``projects/stica/weights`` were trained here. To get StiCA's
weights, train them with ``configs/StiCA/R2plus1D_pretrain.yaml``.
"""

from __future__ import annotations

from collections.abc import Iterator

from slowfast.models.zoo.packaged import packaged_rows
from slowfast.models.zoo.rows import ZooEntry, register_rows

__all__ = ["avid_cma", "gdt", "small"]

_FILES = "https://dl.fbaipublicfiles.com"
_EMBED = "StiCA/eval_audiovisual.yaml"
_AVERAGE = ("MODEL.POOLING", "avg")
_PLAIN = (*_AVERAGE, "MODEL.FEATURE_AUG", "none")
# The spectrograms of the published code; see configs/StiCA/released.yaml.
_GDT_AUDIO = (
    *("AUDIO.PSF_COMPAT", "True", "AUDIO.NUM_MEL", "257", "AUDIO.FFT_SIZE", "1024"),
    *("AUDIO.MEAN", "0.0", "AUDIO.STD", "1.0"),
)
# Clips as in configs/StiCA/avid_finetune_UCF101.yaml.
_AVID = (
    *("MODEL.ARCH", "r2plus1d_18_joint_stem", "AUDIO.ARCH", "conv2d_10"),
    *("DATA.NUM_FRAMES", "32", "DATA.TARGET_FPS", "16", "AUDIO.CLIP_SEC", "2.0"),
    *("DATA.TRAIN_CROP_SIZE", "224", "DATA.TEST_CROP_SIZE", "224"),
    *("DATA.TRAIN_JITTER_SCALES", "[256, 256]"),
    *("DATA.MEAN", "[0.485, 0.456, 0.406]", "DATA.STD", "[0.229, 0.224, 0.225]"),
)


@register_rows
def gdt() -> Iterator[ZooEntry]:
    """List GDT's files.

    Yields:
        Entries.
    """
    for data, top1, note in (
        ("K400", 90.9, "Both encoders and their heads: for StiCA's pretrain YAMLs, too."),
        ("HT100M", 94.1, "Trained with text, not audio: only the video encoder fits."),
        ("IG65M", 95.2, "Both encoders and their heads: for StiCA's pretrain YAMLs, too."),
    ):
        yield ZooEntry(
            name=f"gdt_{data.lower()}",
            url=f"{_FILES}/GDT/gdt_{data}.pth",
            config="StiCA/finetune_UCF101.yaml",
            format="GDT",
            data={"K400": "Kinetics-400", "HT100M": "HowTo100M", "IG65M": "IG65M"}[data]
            + ", without labels",
            license="CC-BY-NC-4.0: not for commercial use",
            top1=top1,
            metric="after fine-tuning on UCF-101",
            embed_config=_EMBED if data != "HT100M" else "StiCA/eval_UCF101.yaml",
            embed_words=(*_PLAIN, *_GDT_AUDIO) if data != "HT100M" else _AVERAGE,
            source="github.com/facebookresearch/GDT, README.md",
            note=f"{note} The README confuses UCF-101 and HMDB-51; this is the larger number.",
        )


@register_rows
def avid_cma() -> Iterator[ZooEntry]:
    """List AVID's and AVID-CMA's files.

    Yields:
        Entries.
    """
    for name, file, data, top1 in (
        ("avid_k400", "AVID_Kinetics_Cross-N1024", "Kinetics-400", 86.9),
        ("avid_cma_k400", "AVID-CMA_Kinetics_InstX-N1024-PosW-N64-Top32", "Kinetics-400", 87.5),
        ("avid_audioset", "AVID_Audioset_Cross-N1024", "AudioSet", 91.0),
        ("avid_cma_audioset", "AVID-CMA_Audioset_InstX-N1024-PosW-N64-Top32", "AudioSet", 91.5),
    ):
        yield ZooEntry(
            name=name,
            url=f"{_FILES}/avid-cma/checkpoints/{file}_checkpoint.pth.tar",
            config="StiCA/avid_finetune_UCF101.yaml",
            format="AVID-CMA",
            data=f"{data}, without labels",
            license="see github.com/facebookresearch/AVID-CMA, LICENSE",
            top1=top1,
            metric="after fine-tuning on UCF-101",
            embed_config=_EMBED,
            embed_words=(*_PLAIN, *_AVID),
            source="github.com/facebookresearch/AVID-CMA, README.md",
            note="The audio encoder loads, too (AUDIO.ARCH conv2d_10), but AUDIO computes "
            "another spectrogram than the one it was trained on.",
        )


@register_rows
def small() -> Iterator[ZooEntry]:
    """List the small weights that come with this project.

    Yields:
        One entry per folder of ``projects/stica/weights``.
    """
    yield from packaged_rows("stica_weights")
