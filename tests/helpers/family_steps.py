"""One training step of any family of backbones at a small size."""

import torch

from slowfast.models.build import LOSS_REGISTRY, build_model


def make_family_batch(views, frames, audio=False):
    """Two prepared samples of 48 pixels, with their audio if asked."""
    generator = torch.Generator().manual_seed(0)
    batch = {
        "video": torch.randn(2, views, 3, frames, 48, 48, generator=generator),
        "label": torch.tensor([1, 4]),
        "aug_seed": torch.tensor([8, 9]),
    }
    if audio:
        batch["audio"] = torch.randn(2, 1, 1, 40, 50, generator=generator)
        batch["audio_valid"] = torch.ones(2, 1, dtype=torch.bool)
    return batch


def step_family(cfg, batch):
    """One forward and backward pass; every weight gets a gradient."""
    torch.manual_seed(0)
    model = build_model(cfg).train()
    outputs = model(batch)
    loss = LOSS_REGISTRY.get(cfg.MODEL.LOSS_FUNC)(cfg)(outputs, batch)["loss"]
    loss.backward()
    assert loss.isfinite()
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
    return outputs, loss
