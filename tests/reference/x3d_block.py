"""X3D's block in numpy, on top of the plain convolution of ``video_block``."""

from __future__ import annotations

import numpy as np
from reference.video_block import batch_norm, conv3d


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def depthwise(x, weight, stride):
    """Convolve each channel by itself with its 3x3x3 kernel, one channel after the other."""
    channels = [
        conv3d(x[:, i : i + 1], weight[i : i + 1], (1, stride, stride), (1, 1, 1))
        for i in range(x.shape[1])
    ]
    return np.concatenate(channels, axis=1)


def squeeze_excitation(x, state, name):
    """Weight every channel, clip by clip."""
    out = np.empty_like(x)
    for b, clip in enumerate(x):
        average = np.array([channel.mean() for channel in clip])
        hidden = state[f"{name}.fc1.weight"][:, :, 0, 0, 0] @ average + state[f"{name}.fc1.bias"]
        hidden = np.maximum(hidden, 0)
        gate = state[f"{name}.fc2.weight"][:, :, 0, 0, 0] @ hidden + state[f"{name}.fc2.bias"]
        for c, value in enumerate(sigmoid(gate)):
            out[b, c] = clip[c] * value
    return out


def block_x3d(x, state, stride):
    """The whole block in evaluation mode; ``state`` maps PySlowFast's names to arrays."""
    point = (0, 0, 0)
    out = conv3d(x, state["branch2.a.weight"], (1, 1, 1), point)
    out = np.maximum(batch_norm(out, state, "branch2.a_bn"), 0)
    out = depthwise(out, state["branch2.b.weight"], stride)
    out = batch_norm(out, state, "branch2.b_bn")
    if "branch2.se.fc1.weight" in state:
        out = squeeze_excitation(out, state, "branch2.se")
    out = out * sigmoid(out)
    out = batch_norm(
        conv3d(out, state["branch2.c.weight"], (1, 1, 1), point), state, "branch2.c_bn"
    )
    if "branch1.weight" in state:
        x = conv3d(x, state["branch1.weight"], (1, stride, stride), point)
    if "branch1_bn.weight" in state:
        x = batch_norm(x, state, "branch1_bn")
    return np.maximum(x + out, 0)
