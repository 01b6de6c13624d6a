"""Step times and memory of shipped YAMLs: float32, TF32, bfloat16, compiled, released order.

Training steps of the training loop on noise (``TRAIN.DATASET fake``): nothing is loaded. The base
is float32 without TF32. The released order of work is ``STICA.COMPAT released``: each view passes
the backbone by itself, the audio once per view, and crops are embedded as in that code.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from common import TINY, Result, harness, parse_arguments, time_steps

from slowfast.engine.benchmark import StepTimes

FP32 = "DEVICE.TF32 False TRAIN.MIXED_PRECISION False MODEL.CHANNELS_LAST False"
BF16 = "TRAIN.MIXED_PRECISION True TRAIN.MIXED_PRECISION_DTYPE bf16 MODEL.CHANNELS_LAST False"
BF16_LAST = BF16.replace("CHANNELS_LAST False", "CHANNELS_LAST True")
MODES = {
    "fp32": FP32,
    "TF32": FP32.replace("TF32 False", "TF32 True"),
    "bf16": BF16,
    "bf16, channels last": BF16_LAST,
    "fp16 with loss scaling": BF16.replace("bf16", "fp16"),
    "bf16, channels last, compiled": f"{BF16_LAST} DEVICE.COMPILE True",
}
FIRST, RELEASED = "StiCA/R2plus1D_pretrain.yaml", "StiCA/released.yaml"
OTHERS = (
    "StiCA/SLOW_R50_pretrain.yaml",
    "StiCA/X3D_M_pretrain.yaml",
    "StiCA/S3D_pretrain.yaml",
    "StiCA/MVITv2_S_pretrain.yaml",
    "StiCA/SLOWFAST_R50_pretrain.yaml",
    "Contrastive/avid.yaml",
    "Contrastive/moco.yaml",
    "Kinetics/SLOW_8x8_R50.yaml",
)
TINY_RELEASED = "TRAIN.BATCH_SIZE 2 RESNET.WIDTH_PER_GROUP 4 AUDIO.WIDTH 4"
BATCH, STEPS, WARM_UP = 8, 8, 4
WORTH_SEC, COMPILE_SEC = 8.0, 70.0  # a case is not begun with less time left


def main() -> None:
    """Measure case after case until the time is over."""
    args = parse_arguments(__doc__)
    result = Result(args, samples_per_step=2 if args.tiny else BATCH)
    cases = [(FIRST, name) for name in MODES if "compiled" not in name]
    cases += [(RELEASED, name) for name in ("fp32", "bf16")]
    cases += [(config, name) for config in OTHERS for name in ("fp32", "bf16, channels last")]
    cases += [(FIRST, name) for name in MODES if "compiled" in name]
    if args.tiny:
        cases = [(FIRST, "fp32"), (FIRST, "bf16"), (RELEASED, "fp32")]
    base: dict[str, StepTimes] = {}
    skipped = []
    for config, name in cases:
        if result.left < (COMPILE_SEC if "compiled" in name else WORTH_SEC) and not args.tiny:
            skipped.append(f"{config}, {name}")
            continue
        try:
            result.add(measure(config, name, result.device, base, args.tiny))
        except Exception as error:  # a case that fails is a result
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            why = f"failed: {reason}"
            result.add(harness.row(f"step of {config}, {name}", None, unit="ms", why=why))
    result.finish(skipped)


def measure(
    config: str, name: str, device: torch.device, base: dict[str, StepTimes], is_tiny: bool
) -> dict[str, Any]:
    """Time the steps of one case, and what they are compared with."""
    words = f"TRAIN.BATCH_SIZE {BATCH} {MODES[name]}".split()
    if is_tiny:  # the released code needs maps of 4 x 7 x 7
        words += TINY if config != RELEASED else TINY_RELEASED.split()
    steps = {"steps": 1 if is_tiny else STEPS, "warm_up": 1 if is_tiny else WARM_UP}
    what, peer, peer_name = f"step of {config}, {name}", None, ""
    if config == RELEASED:
        peer, peer_name = time_steps(config, words, device, **steps), "released order"
        what, words = f"{what}, this project's order", [*words, "STICA.COMPAT", ""]
    times = time_steps(config, words, device, **steps)
    if config != RELEASED and name != "fp32":
        peer, peer_name = base.get(config), "fp32"
    base.setdefault(config, times)
    row = harness.row(
        what,
        1000 * times.step,
        unit="ms",
        peer=None if peer is None else 1000 * peer.step,
        peer_name="" if peer is None else peer_name,
    )
    parts = {part: round(1000 * seconds, 3) for part, seconds in times.parts.items()}
    return row | {"parts_ms": parts, "peak_mib": round(times.peak_bytes / 2**20)}


if __name__ == "__main__":
    sys.exit(main())
