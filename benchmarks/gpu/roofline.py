"""How close each stage of a step comes to the device's own limits, which are measured, too.

Limits: matrix products in each precision, a copy within the device's memory, copies from the host.
Stages of ``StiCA/R2plus1D_pretrain.yaml``: preparing the batch and the optimizer against bandwidth
(bytes that must be read and written), backbones and all that follows against matrix products
(operations that torch counts). A stage that is far from both waits for launches, or for memory
between its small kernels; one that exceeds the bandwidth works within the device's cache.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from common import TINY, Result, harness, load_fake, parse_arguments, synchronize, time_call
from torch.utils.flop_counter import FlopCounterMode

from slowfast.datasets.loader import construct_train_loader
from slowfast.datasets.preprocess.batch import build_preprocess
from slowfast.engine.precision import Precision
from slowfast.models.build import LOSS_REGISTRY, construct_model
from slowfast.models.method import DatasetInfo, call_hook
from slowfast.models.optimizer import construct_optimizer
from slowfast.utils.device_settings import DeviceSettings

CONFIG = "StiCA/R2plus1D_pretrain.yaml"
BATCH, REPEATS = 8, 10
MATRIX = {"cuda": 8192, "cpu": 512}
COPY_BYTES = {"cuda": 2**30, "cpu": 2**24}
PRECISIONS = {"fp32": (False, None), "TF32": (True, None), "bf16": (True, torch.bfloat16)}


def main() -> None:
    """Measure limits, then stages."""
    args = parse_arguments(__doc__)
    result = Result(args, config=CONFIG, samples=2 if args.tiny else BATCH)
    limits = measure_limits(result)
    for name in ("bf16", "TF32", "fp32"):
        if result.left < 5 and not args.tiny:
            result.finish([f"stages in {name}"])
            return
        measure_stages(name, limits, result, args.tiny)
    result.finish()


def measure_limits(result: Result) -> dict[str, float]:
    """Measure operations per second of each precision, and bytes per second of copies."""
    device, repeats = result.device, REPEATS
    limits: dict[str, float] = {}
    size = MATRIX[device.type]
    for name, (tf32, dtype) in PRECISIONS.items():
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        a = torch.randn(size, size, device=device, dtype=dtype)
        limits[name] = 2 * size**3 / time_call(lambda a=a: a @ a, device, repeats=repeats)
    count = COPY_BYTES[device.type]
    source = torch.empty(count, dtype=torch.uint8, device=device).random_()
    target = torch.empty_like(source)
    limits["memory"] = 2 * count / time_call(lambda: target.copy_(source), device, repeats=repeats)
    if device.type == "cuda":
        for name, pinned in (("pinned", True), ("pageable", False)):
            host = torch.empty(count // 8, dtype=torch.uint8, pin_memory=pinned)
            seconds = time_call(lambda h=host: h.to(device), device, repeats=repeats)
            limits[f"from the host, {name}"] = count / 8 / seconds
    result.add(limits=[_describe(name, value) for name, value in limits.items()])
    return limits


def _describe(name: str, value: float) -> dict[str, Any]:
    scale, unit = (1e12, "TFLOP/s") if name in PRECISIONS else (1e9, "GB/s")
    print(f"{name}: {value / scale:.4g} {unit}", flush=True)
    return {"name": name, "value": value / scale, "unit": unit}


def measure_stages(precision: str, limits: dict[str, float], result: Result, is_tiny: bool) -> None:
    """Time the stages of a step and compare each with the limit that it could reach."""
    stages = Stages(precision, result.device, is_tiny)
    repeats = 2 if is_tiny else REPEATS
    for name, (call, work, limit) in stages.calls().items():
        seconds = time_call(call, result.device, repeats=repeats)
        share = work / seconds / limits[limit]
        unit = "bytes" if limit == "memory" else "FLOP"
        row = harness.row(
            f"{name}, {precision}",
            1000 * seconds,
            unit="ms",
            why=f"{work:.3g} {unit}: {100 * share:.0f} % of the measured limit ({limit})",
        )
        result.add(row | {"work": work, "work_unit": unit, "share_of_limit": round(share, 4)})


class Stages:
    """The parts of a training step, each to be called by itself.

    Args:
        precision: Of ``PRECISIONS``.
        device: Where.
        is_tiny: A small model.
    """

    def __init__(self, precision: str, device: torch.device, is_tiny: bool) -> None:
        tf32, dtype = PRECISIONS[precision]
        words = f"TRAIN.BATCH_SIZE {BATCH} DEVICE.TF32 {tf32} MODEL.CHANNELS_LAST True".split()
        self.cfg = load_fake(CONFIG, words + (TINY if is_tiny else []), device)
        DeviceSettings.from_cfg(self.cfg).apply(device)
        torch.manual_seed(0)
        self.device = device
        self.precision = Precision(device, dtype or torch.float32)
        self.model: Any = construct_model(self.cfg)
        call_hook(self.model, "setup", DatasetInfo(10_000, 10_000, 1, self.cfg.TRAIN.BATCH_SIZE, 1))
        self.model.to(device).train()
        self.criterion = LOSS_REGISTRY.get(self.cfg.MODEL.LOSS_FUNC)(self.cfg)
        self.optimizer = construct_optimizer(self.model, self.cfg)
        self.prepare = build_preprocess(self.cfg, train=True).to(device)
        loaded = next(iter(construct_train_loader(self.cfg)))
        self.loaded = {name: value.to(device) for name, value in loaded.items()}
        self.batch = self.prepare(self.loaded)
        self.step(self.model, self.batch)  # leaves gradients for the optimizer
        self._precision_name = precision

    def calls(self) -> dict[str, tuple[Callable[[], Any], float, str]]:
        """Return each stage with its work, and the name of the limit that it could reach."""
        parameters = [p for p in self.model.parameters() if p.grad is not None]
        weights = sum(p.numel() * p.element_size() for p in parameters)
        states = sum(
            value.numel() * value.element_size()
            for state in self.optimizer.state.values()
            for value in state.values()
            if torch.is_tensor(value)
        )
        frames = self.loaded["video"].nbytes + self.batch["video"].nbytes
        clips = self.batch["video"].flatten(0, 1)
        audio = self.batch["audio"][:, 0]
        backbone = self.model.backbone
        compute: dict[str, Callable[[], Any]] = {
            "video backbone, forward": lambda: self.forward(backbone, clips),
            "video backbone, forward and backward": lambda: self.step(backbone, clips),
            "audio backbone, forward and backward": lambda: self.step(
                self.model.audio_backbone, audio
            ),
            "full model and loss, forward and backward": lambda: self.step(self.model, self.batch),
        }
        found = {
            "prepare the frames": (
                lambda: self.prepare.video(self.loaded["video"]),
                float(frames),
                "memory",
            ),
            # Weights are read and written, gradients read, states read and written.
            "optimizer step": (self.optimizer.step, 3.0 * weights + 2.0 * states, "memory"),
        }
        for name, call in compute.items():
            found[name] = (call, float(self._count(call)), self._precision_name)
        return found

    def forward(self, module: Any, inputs: Any) -> Any:
        """Run a forward pass; returns tensors to derive."""
        with self.precision.autocast():
            outputs = module(inputs)
            if module is self.model:
                return [self.criterion(outputs, inputs)["loss"]]
        return outputs.maps

    def step(self, module: Any, inputs: Any) -> None:
        """Run forward and backward."""
        outputs = self.forward(module, inputs)
        torch.autograd.backward(outputs, [torch.ones_like(x) for x in outputs])

    def _count(self, call: Callable[[], Any]) -> int:
        """Count the operations of a call: multiplications and additions."""
        with FlopCounterMode(display=False) as counter:
            call()
        synchronize(self.device)
        return int(counter.get_total_flops())


if __name__ == "__main__":
    sys.exit(main())
