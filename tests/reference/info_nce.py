"""The contrastive loss, one query and one key at a time."""

import torch


def nce(queries, keys, temperature, valid=None):
    """Noise-contrastive loss of lists of vectors: query i against all keys, key i is right."""
    valid = [True] * len(queries) if valid is None else valid
    losses = []
    for i, query in enumerate(queries):
        if not valid[i]:
            continue
        scores = torch.stack(
            [
                (query * key.detach()).sum() / temperature
                for key, is_valid in zip(keys, valid, strict=True)
                if is_valid
            ]
        )
        right = (query * keys[i].detach()).sum() / temperature
        top = scores.max()
        losses.append(top + torch.log(torch.exp(scores - top).sum()) - right)
    return sum(losses) / len(losses) if losses else queries[0].sum() * 0
