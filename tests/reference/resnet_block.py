"""The blocks of the video ResNets with pathways in numpy: loops over kernel entries and positions.

``state`` maps PySlowFast's names within a block to arrays; evaluation mode throughout.
"""

from __future__ import annotations

import numpy as np
from reference.video_block import batch_norm, conv3d


def relu(x):
    return np.maximum(x, 0)


def depthwise(x, weight, stride, padding):
    """Convolve every channel by itself."""
    channels = [
        conv3d(x[:, c : c + 1], weight[c : c + 1], stride, padding) for c in range(len(weight))
    ]
    return np.concatenate(channels, axis=1)


def dilated(x, weight, stride, dilation):
    """Convolve 1x3x3 positions that are ``dilation`` apart: with a kernel that has holes."""
    side = 2 * dilation + 1
    kernel = np.zeros((*weight.shape[:3], side, side))
    kernel[..., ::dilation, ::dilation] = weight
    return conv3d(x, kernel, (1, stride, stride), (0, dilation, dilation))


def shortcut(x, state, stride, temporal_stride=1):
    if "branch1.weight" not in state:
        return x
    x = conv3d(x, state["branch1.weight"], (temporal_stride, stride, stride), (0, 0, 0))
    return batch_norm(x, state, "branch1_bn")


def bottleneck(x, state, stride, *, dilation=1, stride_first=False):
    """Tx1x1, 1x3x3, 1x1x1 and the shortcut."""
    first, second = (stride, 1) if stride_first else (1, stride)
    weight = state["branch2.a.weight"]
    out = conv3d(x, weight, (1, first, first), (weight.shape[2] // 2, 0, 0))
    out = relu(batch_norm(out, state, "branch2.a_bn"))
    out = dilated(out, state["branch2.b.weight"], second, dilation)
    out = relu(batch_norm(out, state, "branch2.b_bn"))
    out = batch_norm(
        conv3d(out, state["branch2.c.weight"], (1, 1, 1), (0, 0, 0)), state, "branch2.c_bn"
    )
    return relu(shortcut(x, state, stride) + out)


def basic(x, state, stride):
    """Tx3x3, 1x3x3 and the shortcut."""
    weight = state["branch2.a.weight"]
    out = conv3d(x, weight, (1, stride, stride), (weight.shape[2] // 2, 1, 1))
    out = relu(batch_norm(out, state, "branch2.a_bn"))
    out = conv3d(out, state["branch2.b.weight"], (1, 1, 1), (0, 1, 1))
    return relu(shortcut(x, state, stride) + batch_norm(out, state, "branch2.b_bn"))


def channel_separated(x, state, stride, temporal_stride):
    """1x1x1, a depthwise 3x3x3 that strides in time too, 1x1x1 and the shortcut."""
    out = conv3d(x, state["branch2.a.weight"], (1, 1, 1), (0, 0, 0))
    out = relu(batch_norm(out, state, "branch2.a_bn"))
    strides = (temporal_stride, stride, stride)
    out = depthwise(out, state["branch2.b.weight"], strides, (1, 1, 1))
    out = relu(batch_norm(out, state, "branch2.b_bn"))
    out = batch_norm(
        conv3d(out, state["branch2.c.weight"], (1, 1, 1), (0, 0, 0)), state, "branch2.c_bn"
    )
    return relu(shortcut(x, state, stride, temporal_stride) + out)


def factorized(x, state, stride, temporal_stride):
    """1x1x1, 3x1x1, 1x3x3, 1x1x1 and the shortcut."""
    out = conv3d(x, state["branch2.a.weight"], (1, 1, 1), (0, 0, 0))
    out = relu(batch_norm(out, state, "branch2.a_bn"))
    out = conv3d(out, state["branch2.b.conv_t.weight"], (temporal_stride, 1, 1), (1, 0, 0))
    out = relu(batch_norm(out, state, "branch2.b.norm"))
    out = conv3d(out, state["branch2.b.conv_xy.weight"], (1, stride, stride), (0, 1, 1))
    out = relu(batch_norm(out, state, "branch2.b_bn"))
    out = batch_norm(
        conv3d(out, state["branch2.c.weight"], (1, 1, 1), (0, 0, 0)), state, "branch2.c_bn"
    )
    return relu(shortcut(x, state, stride, temporal_stride) + out)


def max_pool(x, kernel):
    """Take the maximum of blocks that do not overlap; an incomplete block at an end is left out."""
    counts = [n // k for n, k in zip(x.shape[2:], kernel, strict=True)]
    out = np.empty((*x.shape[:2], *counts))
    for at in np.ndindex(*counts):
        block = tuple(slice(c * k, (c + 1) * k) for c, k in zip(at, kernel, strict=True))
        out[(slice(None), slice(None), *at)] = x[(slice(None), slice(None), *block)].max((2, 3, 4))
    return out


def non_local(x, state, pool, instantiation):
    """Every position asks every pooled one, one pair at a time."""

    def project(name, y):
        weight, bias = state[f"{name}.weight"][:, :, 0, 0, 0], state[f"{name}.bias"]
        return np.einsum("oc,bcthw->bothw", weight, y) + bias[:, None, None, None]

    seen = max_pool(x, pool)
    query = project("conv_theta", x).reshape(len(x), -1, x[0, 0].size)
    key = project("conv_phi", seen).reshape(len(x), -1, seen[0, 0].size)
    value = project("conv_g", seen).reshape(key.shape)
    gathered = np.zeros_like(query)
    for b in range(len(x)):
        for p in range(query.shape[2]):
            scores = np.array([query[b, :, p] @ key[b, :, q] for q in range(key.shape[2])])
            if instantiation == "softmax":
                scores = np.exp(scores / np.sqrt(query.shape[1]))
                weights = scores / scores.sum()
            else:
                weights = scores / len(scores)
            gathered[b, :, p] = sum(w * value[b, :, q] for q, w in enumerate(weights))
    gathered = gathered.reshape(len(x), -1, *x.shape[2:])
    return x + batch_norm(project("conv_out", gathered), state, "bn")


def fuse(slow, fast, state, alpha):
    """Stride over the fast pathway's frames, batch norm, ReLU, and append to the slow pathway's."""
    weight = state["conv_f2s.weight"]
    lateral = conv3d(fast, weight, (alpha, 1, 1), (weight.shape[2] // 2, 0, 0))
    return np.concatenate([slow, relu(batch_norm(lateral, state, "bn"))], axis=1)
