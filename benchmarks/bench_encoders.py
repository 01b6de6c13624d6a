"""Seconds per clip of encoders behind slowfast.load, on one CPU core, with random weights.

    python benchmarks/bench_encoders.py                      # all
    python benchmarks/bench_encoders.py videomae-base gdt    # some

The weights are random, the sizes are those of the published models; there is no peer, as the
networks are the published ones. The cost of an hour of video follows from the seconds per clip: by
default a video of ten seconds has the clips that the row names, and with ``--every 1`` each second
is one clip. Decoding is not measured. Writes ``results/encoders.json``; encoders that were not run
keep their results there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import harness
import torch
from harness import Row
from torch import Tensor, nn

OUT = harness.RESULTS / "encoders.json"
VIDEO_SEC = 10.0

Result = dict[str, Any]


def gdt(
    frames: int = 30, side: int = 112, words: Sequence[str] = ()
) -> tuple[nn.Module, dict[str, Tensor], int]:
    """R(2+1)D-18 and ResNet-9 of GDT: 30 frames of 112 x 112 and a second of audio."""
    import stica  # noqa: F401

    from slowfast.config import load_config
    from slowfast.models.build import construct_model
    from slowfast.models.zoo.rows import find_row

    row = find_row("gdt_k400")
    words = [*row.embed_words, "NUM_GPUS", "0", "DATA.DEMO_CFG", "", *words]
    cfg = load_config(row.embed_config, words, validate=False).cfg
    video = torch.randn(1, 1, 3, frames, side, side)
    batch = {"video": video, "audio": torch.randn(1, 1, 1, 257, 99)}
    return construct_model(cfg), batch, cfg.TEST.NUM_ENSEMBLE_VIEWS


def videomae_base() -> tuple[nn.Module, dict[str, Tensor], int]:
    """VideoMAE base: 16 frames of 224 x 224."""
    from transformers import VideoMAEConfig, VideoMAEModel

    from slowfast.inference.adapters.video import VideoEncoder, _Mean

    model = VideoEncoder(VideoMAEModel(VideoMAEConfig()), _Mean())
    return model, {"video": torch.randn(1, 1, 3, 16, 224, 224)}, 5


def vjepa2_large() -> tuple[nn.Module, dict[str, Tensor], int]:
    """V-JEPA 2, ViT-L: 64 frames of 256 x 256."""
    return _vjepa2(64)


def vjepa2_large_16() -> tuple[nn.Module, dict[str, Tensor], int]:
    """V-JEPA 2, ViT-L: 16 frames of 256 x 256 (DATA.NUM_FRAMES 16)."""
    return _vjepa2(16)


def _vjepa2(frames: int) -> tuple[nn.Module, dict[str, Tensor], int]:
    from transformers import VJEPA2Config, VJEPA2Model

    from slowfast.inference.adapters.video import VideoEncoder, _Mean

    small = {"pred_num_hidden_layers": 1, "pred_hidden_size": 96}  # the predictor is not run
    model = VJEPA2Model(VJEPA2Config(**small))
    encoder = VideoEncoder(model, _Mean(), options={"skip_predictor": True})
    return encoder, {"video": torch.randn(1, 1, 3, frames, 256, 256)}, 1


def tiny() -> tuple[nn.Module, dict[str, Tensor], int]:
    """GDT of eight channels on small clips, for the tests."""
    return gdt(frames=8, side=32, words=("RESNET.WIDTH_PER_GROUP", "8", "AUDIO.WIDTH", "8"))


ENCODERS: dict[str, Callable[[], tuple[nn.Module, dict[str, Tensor], int]]] = {
    "gdt": gdt,
    "videomae-base": videomae_base,
    "vjepa2-large-16-frames": vjepa2_large_16,
    "vjepa2-large": vjepa2_large,
}


TINY = {"tiny": tiny}


@torch.no_grad()
def measure(build: Callable[[], tuple[nn.Module, dict[str, Tensor], int]], repeats: int) -> Result:
    """Time one clip; the least of the repeats, in seconds of this process's own CPU time."""
    model, batch, clips = build()
    model.eval()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        model.embed(batch)
        times.append(time.process_time() - start)
    seconds = min(times)
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    return {
        "parameters_millions": round(parameters, 1),
        "cpu_seconds_per_clip": round(seconds, 3),
        "clips_per_video": clips,
        "cpu_hours_per_hour_of_10_second_videos": round(seconds * clips / VIDEO_SEC, 2),
        "cpu_hours_per_hour_with_every_1": round(seconds, 2),
        "repeats": repeats,
        "date": harness.describe_machine()["date"],
    }


def make_row(name: str, found: Result) -> Row:
    """Make the row of an encoder."""
    return harness.row(
        f"{name}, {found['parameters_millions']:g} M parameters, a clip, 1 thread",
        found["cpu_seconds_per_clip"],
        unit="CPU s",
        why=f"{found['clips_per_video']} clips of a video: "
        f"{found['cpu_hours_per_hour_of_10_second_videos']:g} core-hours for an hour of videos of "
        f"10 s; measured {found['date']}",
    )


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ENCODERS)}")
    harness.add_arguments(parser)
    args = parser.parse_args(words)
    if unknown := set(args.names) - set(ENCODERS):
        parser.error(f"unknown {', '.join(unknown)}; known: {', '.join(ENCODERS)}")
    torch.set_num_threads(1)
    out = args.out or (None if args.tiny else OUT)
    encoders = {} if out is None or not out.exists() else json.loads(out.read_text())["encoders"]
    chosen = TINY if args.tiny else {name: ENCODERS[name] for name in args.names or ENCODERS}
    for name, build in chosen.items():
        encoders[name] = measure(build, 1 if name.startswith("vjepa2") else 3)
    rows = [make_row(name, found) for name, found in encoders.items()]
    return harness.write_result(out, {"threads": 1, "gpu": "not measured"}, rows, encoders=encoders)


if __name__ == "__main__":
    main()
