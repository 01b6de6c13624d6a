"""A slow, obvious StiCA: one crop, one sample, one pair at a time; any dtype, meant for float64.

Written from the paper's description, not from the code under test. Weights come as plain tensors
by name. Boxes are (first, last) with the end excluded.
"""

import math

import torch
from reference.info_nce import nce


def space_crop(feature_map, box):
    """(C, T, H, W) and (row0, row1, col0, col1) -> list of T vectors (C,)."""
    row0, row1, col0, col1 = box
    steps = []
    for t in range(feature_map.shape[1]):
        total, count = torch.zeros_like(feature_map[:, 0, 0, 0]), 0
        for row in range(row0, row1):
            for col in range(col0, col1):
                total = total + feature_map[:, t, row, col]
                count += 1
        steps.append(total / count)
    return steps


def time_crop(feature_map, box):
    """(C, T, H, W) and (t0, t1) -> list of t1 - t0 vectors (C,)."""
    whole = (0, feature_map.shape[2], 0, feature_map.shape[3])
    return space_crop(feature_map, whole)[box[0] : box[1]]


def layer_norm(x, weight, bias, eps=1e-12):
    centered = x - x.mean()
    return centered / torch.sqrt((centered**2).mean() + eps) * weight + bias


def attend(steps, weights, prefix, heads, project):
    """Multi-head self-attention over a list of vectors, one query and one head at a time."""

    def linear(name, x):
        return weights[f"{prefix}{name}.weight"] @ x + weights[f"{prefix}{name}.bias"]

    width = len(steps[0]) // heads
    out = []
    for x in steps:
        joined = []
        for h in range(heads):
            part = slice(h * width, (h + 1) * width)
            query = linear("query", x)[part]
            scores = torch.stack(
                [(query * linear("key", y)[part]).sum() / math.sqrt(width) for y in steps]
            )
            attention = torch.exp(scores - scores.max())
            attention = attention / attention.sum()
            values = [(linear("value", y) if project else y)[part] for y in steps]
            joined.append(sum(a * v for a, v in zip(attention, values, strict=True)))
        joined = torch.cat(joined)
        out.append(linear("output", joined) if project else joined)
    return out


def transform(steps, positions, weights, *, layers, heads, summary, project=True):
    """Pool one row: list of vectors and their steps on the full map -> (C,)."""
    if "positions.table.weight" in weights:
        table = weights["positions.table.weight"]
        steps = [x + table[p] for x, p in zip(steps, positions, strict=True)]
    if summary == "cls":
        steps = [weights["cls"], *steps]
    for i in range(layers):
        prefix = f"layers.{i}."

        def get(name, prefix=prefix):
            return weights[f"{prefix}{name}"]

        attended = attend(steps, weights, f"{prefix}attention.", heads, project)
        steps = [
            layer_norm(x + a, get("norm1.weight"), get("norm1.bias"))
            for x, a in zip(steps, attended, strict=True)
        ]
        encoded = []
        for x in steps:
            hidden = get("linear1.weight") @ x + get("linear1.bias")
            hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
            update = get("linear2.weight") @ hidden + get("linear2.bias")
            encoded.append(layer_norm(x + update, get("norm2.weight"), get("norm2.bias")))
        steps = encoded
    if summary == "mean":
        return sum(steps) / len(steps)
    return steps[0]


def project_group(rows, weights, eps=1e-5):
    """One call of the head in training without dropout: list of B vectors -> list of B vectors."""
    hidden = [weights["linear1.weight"] @ x for x in rows]
    mean = sum(hidden) / len(hidden)
    var = sum((h - mean) ** 2 for h in hidden) / len(hidden)
    out = []
    for h in hidden:
        h = (h - mean) / torch.sqrt(var + eps) * weights["norm.weight"] + weights["norm.bias"]
        h = torch.where(h > 0, h, torch.zeros_like(h))
        y = weights["linear2.weight"] @ h + weights["linear2.bias"]
        out.append(y / torch.sqrt((y**2).sum()))
    return out


def cross_modal(video, audio, temperature, valid=None):
    """video[v][b], audio[b] -> mean over views of both directions."""
    losses = []
    for view in video:
        losses.append(nce(view, audio, temperature, valid))
        losses.append(nce(audio, view, temperature, valid))
    return sum(losses) / len(losses)


def within(large, small, temperature):
    """large[v][k][b], small[v][k][b] -> mean over all pairs of one axis."""
    losses = []
    for v in range(len(large)):
        for w in range(len(large)):
            if v == w:
                continue
            for query in [*large[v], *small[v]]:
                for key in large[w]:
                    losses.append(nce(query, key, temperature))
    return sum(losses) / len(losses)


def stretch(steps, length):
    """Adaptive averaging: output i is the mean of inputs floor(i n / m) to ceil((i + 1) n / m)."""
    n = len(steps)
    out = []
    for i in range(length):
        part = steps[i * n // length : -(-(i + 1) * n // length)]
        out.append(sum(part) / len(part))
    return out


def released_loss(views, audio, num_small):
    """The published loss. views[v][kind][k][b], kinds full, space_large, ...; audio[v][b].

    num_small: crops of each small kind that count, {"space": n, "time": n}.
    """
    total, count = 0, 0
    for axis in ("space", "time"):
        large = [view[f"{axis}_large"] for view in views]
        if len(large[0]) > 1:
            total = (
                total
                + (nce(large[1][1], large[0][1], 0.5) + nce(large[0][1], large[1][1], 0.5)) / 2
            )
            count += 1
        for key in large[0]:
            for query in views[1][f"{axis}_small"][: num_small[axis]]:
                total = total + nce(query, key, 0.5)
                count += 1
    av = 0
    for view, heard in zip(views, audio, strict=True):
        av = av + (nce(view["full"][0], heard, 0.1) + nce(heard, view["full"][0], 0.1)) / 4
    return 0.5 * total / count + 0.5 * av
