"""Seconds per clip of encoders behind slowfast.load, on one CPU core, with random weights.

    python benchmarks/bench_encoders.py                      # all
    python benchmarks/bench_encoders.py videomae-base gdt    # some

The weights are random, the sizes are those of the published models. The cost of an hour of video
follows from the seconds per clip: by default a video of ten seconds has the clips that the last
column names, and with ``--every 1`` each second is one clip. Decoding is not measured. Results are
written to ``benchmarks/results/encoders.json``; encoders that were not run keep theirs.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

RESULTS = Path(__file__).parent / "results" / "encoders.json"
VIDEO_SEC = 10.0
HOUR = 3600


def gdt() -> tuple[nn.Module, dict[str, Tensor], int]:
    """R(2+1)D-18 and ResNet-9 of GDT: 30 frames of 112 x 112 and a second of audio."""
    import stica  # noqa: F401

    from slowfast.config import load_config
    from slowfast.models.build import construct_model
    from slowfast.models.zoo.rows import find_row

    row = find_row("gdt_k400")
    words = [*row.embed_words, "NUM_GPUS", "0", "DATA.DEMO_CFG", ""]
    cfg = load_config(row.embed_config, words, validate=False).cfg
    batch = {"video": torch.randn(1, 1, 3, 30, 112, 112), "audio": torch.randn(1, 1, 1, 257, 99)}
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


ENCODERS: dict[str, Callable[[], tuple[nn.Module, dict[str, Tensor], int]]] = {
    "gdt": gdt,
    "videomae-base": videomae_base,
    "vjepa2-large-16-frames": vjepa2_large_16,
    "vjepa2-large": vjepa2_large,
}


@torch.no_grad()
def measure(name: str, repeats: int) -> dict[str, float]:
    """Time one clip; the least of the repeats, in seconds of this process's own CPU time."""
    model, batch, clips = ENCODERS[name]()
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
        "cpu_seconds_per_clip": round(seconds, 2),
        "clips_per_video": clips,
        "cpu_hours_per_hour_of_10_second_videos": round(seconds * clips / VIDEO_SEC, 2),
        "cpu_hours_per_hour_with_every_1": round(seconds, 2),
        "repeats": repeats,
    }


def main(names: list[str]) -> None:
    """Measure, and write the results."""
    torch.set_num_threads(1)
    known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    encoders = known.get("encoders", {})
    for name in names or ENCODERS:
        encoders[name] = measure(name, 1 if name.startswith("vjepa2") else 3)
        print(name, encoders[name])
        facts = {"torch": torch.__version__, "threads": 1, "processor": _processor()}
        content = {**facts, "gpu": "not measured", "encoders": encoders}
        RESULTS.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main(sys.argv[1:])
