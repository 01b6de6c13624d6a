"""A block of MViT in numpy: one loop over queries and keys, nothing fused, nothing broadcast away.

``state`` maps a block's parameter names to arrays; ``spec`` holds plain numbers and lists.
Tokens are a list of vectors: a class token if there is one, then the positions, width fastest.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np

EPS = 1e-6


def linear(x, state, name):
    bias = state.get(f"{name}.bias")
    return x @ state[f"{name}.weight"].T + (0 if bias is None else bias)


def layer_norm(x, state, name):
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(var + EPS) * state[f"{name}.weight"] + state[f"{name}.bias"]


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def pooled_size(grid, kernel, stride):
    sizes = zip(grid, kernel, stride, strict=True)
    return tuple((g + 2 * (k // 2) - k) // s + 1 for g, k, s in sizes)


def windows(grid, kernel, stride):
    """Yield for each output position the pairs (in the kernel, in the input) inside the grid."""
    for out in np.ndindex(*pooled_size(grid, kernel, stride)):
        pairs = []
        for at_kernel in np.ndindex(*kernel):
            at = [
                o * s + c - k // 2
                for o, s, c, k in zip(out, stride, at_kernel, kernel, strict=True)
            ]
            if all(0 <= a < g for a, g in zip(at, grid, strict=True)):
                pairs.append((at_kernel, tuple(at)))
        yield pairs


def pool(tokens, grid, kernel, stride, how, class_token, weight=None):
    """Pool tokens (N, C); ``how`` is max, avg or conv with weight (C, 1, *kernel)."""
    first = int(class_token)
    grid_tokens = tokens[first:].reshape(*grid, -1)
    rows = []
    for pairs in windows(grid, kernel, stride):
        seen = np.stack([grid_tokens[at] for _, at in pairs])
        if how == "max":
            rows.append(seen.max(0))
        elif how == "avg":  # padding counts as zeros
            rows.append(seen.sum(0) / math.prod(kernel))
        else:
            taps = np.stack([weight[:, 0][(slice(None), *at_kernel)] for at_kernel, _ in pairs])
            rows.append((seen * taps).sum(0))
    rows = np.concatenate([tokens[:first], np.stack(rows)])
    return rows, pooled_size(grid, kernel, stride)


def pool_part(tokens, grid, part, state, spec):
    """Pool and normalize queries, keys or values of one head."""
    kernel, stride = spec[f"kernel_{part}"], spec[f"stride_{part}"]
    if kernel is None:
        return tokens, grid
    how = spec["mode"] if spec["mode"] in ("avg", "max") else "conv"
    weight = state.get(f"attn.pool_{part}.weight")
    tokens, grid = pool(tokens, grid, kernel, stride, how, spec["class_token"], weight)
    return (layer_norm(tokens, state, f"attn.norm_{part}") if how == "conv" else tokens), grid


def head_parts(x, grid, part, state, spec):
    """Return queries, keys or values, a list over heads of (N', C), and their grid."""
    heads = spec["heads"]
    if spec["pool_first"]:
        split = [x] if spec["mode"] == "conv_unshared" else np.split(x, heads, axis=1)
        pooled = [pool_part(piece, grid, part, state, spec) for piece in split]
        joined = np.concatenate([tokens for tokens, _ in pooled], axis=1)
        return np.split(linear(joined, state, f"attn.{part}"), heads, axis=1), pooled[0][1]
    if spec["separate_qkv"]:
        projected = linear(x, state, f"attn.{part}")
    else:
        projected = np.split(linear(x, state, "attn.qkv"), 3, axis=1)["qkv".index(part)]
    pooled = [
        pool_part(piece, grid, part, state, spec) for piece in np.split(projected, heads, axis=1)
    ]
    return [tokens for tokens, _ in pooled], pooled[0][1]


def table_row(table, queries, keys, q, k):
    """Take the vector for the distance of query q and key k; the finer grid is the measure."""
    wanted = 2 * max(queries, keys) - 1
    if len(table) != wanted:  # interpolated between centers of equal intervals
        places = (np.arange(wanted) + 0.5) * len(table) / wanted - 0.5
        places = np.clip(places, 0, len(table) - 1)
        low = np.floor(places).astype(int)
        high = np.minimum(low + 1, len(table) - 1)
        share = (places - low)[:, None]
        table = table[low] * (1 - share) + table[high] * share
    finest = max(queries, keys)
    return table[int(q * finest / queries - k * finest / keys + (keys - 1) * finest / keys)]


def attention(x, grid, state, spec):
    """Attend from every token to every token, one pair after the other."""
    first = int(spec["class_token"])
    (query, q_grid), (key, k_grid), (value, _) = (
        head_parts(x, grid, part, state, spec) for part in "qkv"
    )
    q_at, k_at = list(np.ndindex(*q_grid)), list(np.ndindex(*k_grid))
    outputs = []
    for q_head, k_head, v_head in zip(query, key, value, strict=True):
        out = np.zeros_like(q_head)
        for i, q in enumerate(q_head):
            logits = np.array([q @ k / math.sqrt(len(q)) for k in k_head])
            if i >= first:
                for j, axis in product(range(first, len(k_head)), range(3)):
                    table = state.get(f"attn.rel_pos_{'thw'[axis]}")
                    if table is not None:
                        a, b = q_at[i - first][axis], k_at[j - first][axis]
                        logits[j] += q @ table_row(table, q_grid[axis], k_grid[axis], a, b)
            out[i] = softmax(logits) @ v_head
            if spec["residual_pooling"] and i >= first:
                out[i] += q
        outputs.append(out)
    return linear(np.concatenate(outputs, axis=1), state, "attn.proj"), q_grid


def block(x, grid, state, spec):
    """Apply a whole block in evaluation mode to tokens (N, C) of one clip."""
    normed = layer_norm(x, state, "norm1")
    branch, new_grid = attention(normed, grid, state, spec)
    if "proj.weight" in state and spec["widen_in_attention"]:
        x = linear(normed, state, "proj")
    stride = spec["stride_q"]
    if math.prod(stride) > 1:
        kernel = [s + 1 if s > 1 else s for s in stride]
        x, _ = pool(x, grid, kernel, stride, "max", spec["class_token"])
    x = x + state.get("gamma_1", 1.0) * branch
    normed = layer_norm(x, state, "norm2")
    if "proj.weight" in state and not spec["widen_in_attention"]:
        x = linear(normed, state, "proj")
    hidden = gelu(linear(normed, state, "mlp.fc1"))
    return x + state.get("gamma_2", 1.0) * linear(hidden, state, "mlp.fc2"), new_grid
