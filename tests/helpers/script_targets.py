"""What a job of a PySlowFast script runs: spawned processes import it by name."""

from pathlib import Path

import torch

from slowfast.models import build_model
from slowfast.models.optimizer import construct_optimizer
from slowfast.utils.checkpoint import save_checkpoint
from slowfast.utils.distributed import all_reduce, get_rank


def train_step_of_a_script(cfg) -> None:
    """One step of PySlowFast's way; every rank writes its weights and how it was wrapped."""
    torch.manual_seed(0)
    model = build_model(cfg)
    optimizer = construct_optimizer(model, cfg)
    clip = torch.full((2, 3, 4, 32, 32), 1.0 + get_rank())
    loss = model([clip]).logsumexp(dim=1).mean()
    loss.backward()
    optimizer.step()
    (mean,) = all_reduce([loss.detach()])
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    content = {"weights": weights, "kind": type(model).__name__, "loss": loss.item()}
    torch.save({**content, "mean": mean.item()}, Path(cfg.OUTPUT_DIR) / f"{get_rank()}.pth")
    save_checkpoint(cfg.OUTPUT_DIR, model, optimizer, 0, cfg)
