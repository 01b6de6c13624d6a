"""AVID-CMA (Morgado et al., CVPR 2021): the old names of its encoders and its checkpoint format.

The encoders are ``r2plus1d_18_joint_stem`` and ``conv2d_10`` of the framework.
"""

from __future__ import annotations

from torch import Tensor

from slowfast.models.build import BACKBONE_REGISTRY, CHECKPOINT_FORMAT_REGISTRY
from slowfast.models.joint_stem import conv2d_10, r2plus1d_18_joint_stem

__all__ = ["avid_cma"]

_ENCODERS = {"video_model.": "backbone.", "audio_model.": "audio_backbone."}

BACKBONE_REGISTRY.register_as("avid_r2plus1d_18")(r2plus1d_18_joint_stem)
BACKBONE_REGISTRY.register_as("avid_conv2d_10")(conv2d_10)


@CHECKPOINT_FORMAT_REGISTRY.register()
def avid_cma(state_dict: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Rename AVID's and AVID-CMA's keys; those of the projection heads stay and match no parameter.

    Their spectrograms are (S, F), ours (F, S): the audio encoder's kernels are transposed.

    Returns:
        The renamed state dict, or None when the keys are not of this format.
    """
    if "video_model.conv2x.0.spt_conv1.weight" not in state_dict:
        return None
    renamed = {}
    for key, value in state_dict.items():
        encoder = next((theirs for theirs in _ENCODERS if key.startswith(theirs)), "")
        is_transposed = encoder == "audio_model." and value.dim() == 4
        tensor = value.transpose(2, 3).contiguous() if is_transposed else value
        renamed[_ENCODERS.get(encoder, "") + key.removeprefix(encoder)] = tensor
    return renamed
