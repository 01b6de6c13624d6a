"""S3D's separable convolution and block in numpy, with and without S3D-G's gates."""

from __future__ import annotations

import itertools

import numpy as np
from reference.video_block import batch_norm, conv3d

EPS = 1e-3


def conv_norm_relu(x, state, name, stride=1):
    """Convolve, striding only the axes that the kernel spans, normalize, ReLU."""
    weight = state[f"{name}.0.weight"]
    kernel = weight.shape[2:]
    strides = [stride if size > 1 else 1 for size in kernel]
    x = conv3d(x, weight, strides, [size // 2 for size in kernel])
    return np.maximum(batch_norm(x, state, f"{name}.1", EPS), 0)


def gate(x, state, name):
    """Weight every channel, clip by clip; without weights of that name there is no gate."""
    if f"{name}.gate.fc.weight" not in state:
        return x
    out = np.empty_like(x)
    for b, clip in enumerate(x):
        average = np.array([channel.mean() for channel in clip])
        logits = state[f"{name}.gate.fc.weight"] @ average + state[f"{name}.gate.fc.bias"]
        for c, value in enumerate(logits):
            out[b, c] = clip[c] / (1 + np.exp(-value))
    return out


def separable(x, state, name, stride=1):
    """Space, then time, then the gate."""
    x = conv_norm_relu(x, state, f"{name}.0", stride)
    return gate(conv_norm_relu(x, state, f"{name}.1", stride), state, name)


def max_pool_3x3x3(x):
    """The largest of the 27 positions around each one, those that there are."""
    out = np.empty_like(x)
    for at in np.ndindex(*x.shape[2:]):
        around = tuple(slice(max(i - 1, 0), i + 2) for i in at)
        index = (slice(None), slice(None))
        out[(*index, *at)] = x[(*index, *around)].max(axis=(2, 3, 4))
    return out


def block_s3d(x, state):
    """The whole block in evaluation mode; ``state`` maps torchvision's names to arrays."""
    branches = [gate(conv_norm_relu(x, state, "branch0"), state, "branch0")]
    for name in ("branch1", "branch2"):
        inner = separable(conv_norm_relu(x, state, f"{name}.0"), state, f"{name}.1")
        branches.append(gate(inner, state, name))
    pooled = conv_norm_relu(max_pool_3x3x3(x), state, "branch3.1")
    branches.append(gate(pooled, state, "branch3"))
    return np.concatenate(branches, axis=1)


def mean_of_windows(values):
    """Average all pairs of neighboring steps (L, C), then the pairs; one step is itself."""
    if len(values) == 1:
        return values[0]
    return np.mean([(a + b) / 2 for a, b in itertools.pairwise(values)], axis=0)
