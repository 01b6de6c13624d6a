"""Mines positives from the memory banks of two modalities (Morgado et al., CVPR 2021, section 4).

Legend: N rows of a bank, D embedding, P positives.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from slowfast.config import ParameterError

__all__ = ["AGREEMENTS", "mine_positives"]

AGREEMENTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "consensus": torch.minimum,
    "union": torch.maximum,
    "video": lambda video, audio: video,
    "audio": lambda video, audio: audio,
}
_BLOCK = 1024


@torch.no_grad()
def mine_positives(video: Tensor, audio: Tensor, count: int, *, agreement: str) -> Tensor:
    """Find the rows that are most similar to each row.

    Two rows agree as much as their similarity in video and in audio: ``consensus`` is the lower of
    both, ``union`` the higher, ``video`` and ``audio`` are one of them. A row is never its own
    positive. N^2 D multiplications per modality, in blocks of rows.

    Args:
        video: float (N, D), rows of length 1.
        audio: float (N, D), rows of length 1.
        count: P, less than N.
        agreement: ``consensus``, ``union``, ``video`` or ``audio``.

    Returns:
        int64 (N, P), ascending rows.

    Raises:
        ParameterError: If there are too few rows or the agreement is unknown.
    """
    if not 0 < count < len(video):
        raise ParameterError(
            "count", f"got {count} positives of {len(video)} videos; expected 1 to one less."
        )
    if agreement not in AGREEMENTS:
        raise ParameterError("agreement", f"got '{agreement}'; expected {', '.join(AGREEMENTS)}.")
    found = []
    for start in range(0, len(video), _BLOCK):
        rows = slice(start, start + _BLOCK)
        agree = AGREEMENTS[agreement](video[rows] @ video.T, audio[rows] @ audio.T)
        own = torch.arange(start, start + len(agree), device=agree.device)[:, None]
        agree.scatter_(1, own, float("-inf"))
        found.append(agree.topk(count, dim=1).indices.sort(dim=1).values)
    return torch.cat(found)
