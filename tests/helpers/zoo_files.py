"""Names and shapes of what the zoos publish, and the names other formats give the same layers."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import torch

DATA = Path(__file__).parent.parent / "data"


def published_shapes(name: str) -> dict[str, list[int]]:
    """Find the dumped state dict of a configuration or of one of torchvision's networks."""
    for path in sorted(DATA.glob("state_dicts_*.json.gz")):
        content = json.loads(gzip.decompress(path.read_bytes()))
        if name in content.get("entries", {}):
            entry = content["state_dicts"][content["entries"][name]]
            return entry.get("state_dict", entry)
        if name.removeprefix("torchvision/") in content:
            return content[name.removeprefix("torchvision/")]["state_dict"]
    raise KeyError(name)


def meta_state(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """Make tensors without values."""
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


def blob_name(name: str) -> str | None:
    """PySlowFast's name as its Caffe2 zoo writes it: an oracle the other way round."""
    norms = {"weight": "s", "bias": "b", "running_mean": "rm", "running_var": "riv"}
    layer, leaf = name.rsplit(".", 1)
    if leaf == "num_batches_tracked":
        return None
    part = (norms if layer.endswith("bn") else {"weight": "w", "bias": "b"})[leaf]
    if layer == "head.projection":
        return f"pred_{part}"
    if fuse := re.fullmatch(r"s(\d)_fuse\.(conv_f2s|bn)", layer):
        blocks = {"1": "pool1", "2": "res2_2_branch2c_bn", "3": "res3_3_branch2c_bn"}
        blocks["4"] = "res4_5_branch2c_bn"
        return f"t_{blocks[fuse[1]]}_subsample{'_bn' if fuse[2] == 'bn' else ''}_{part}"
    if nonlocal_ := re.fullmatch(r"s(\d)\.pathway0_nonlocal(\d)\.(?:conv_)?(\w+)", layer):
        return f"nonlocal_conv{nonlocal_[1]}_{nonlocal_[2]}_{nonlocal_[3]}_{part}"
    stage, pathway, rest = re.fullmatch(r"s(\d)\.pathway(\d)_(.+)", layer).groups()
    fast = "t_" if pathway == "1" else ""
    if rest.startswith("stem"):
        return f"{fast}res_conv1_bn_{part}" if rest == "stem.bn" else f"{fast}conv1_{part}"
    block, rest = re.fullmatch(r"res(\d+)\.(.+)", rest).groups()
    return f"{fast}res{stage}_{block}_{rest.replace('.', '')}_{part}"


def image_name(name: str) -> str | None:
    """The image ResNet's name of a layer of the slow pathway; None for the classifier."""
    if name.startswith("head."):
        return None
    name = name.replace("s1.pathway0_stem.conv", "conv1").replace("s1.pathway0_stem.bn", "bn1")
    for stage in range(2, 6):
        name = re.sub(rf"^s{stage}\.pathway0_res(\d+)\.", rf"layer{stage - 1}.\1.", name)
    name = name.replace("branch1_bn", "downsample.1").replace("branch1", "downsample.0")
    for number, letter in enumerate("abc", 1):
        name = name.replace(f"branch2.{letter}_bn", f"bn{number}")
        name = name.replace(f"branch2.{letter}", f"conv{number}")
    return name


def basic_image_name(name: str) -> str | None:
    """The image ResNet's name of a layer of torchvision's video ResNets."""
    if name.startswith("fc."):
        return None
    name = re.sub(r"^stem\.0", "conv1", re.sub(r"^stem\.1", "bn1", name))
    name = re.sub(r"(layer\d\.\d+)\.conv(\d)\.1\.", r"\1.bn\2.", name)
    return re.sub(r"(layer\d\.\d+\.conv\d)\.0\.", r"\1.", name)


def renamed(state, rename):
    """Rename keys; those without a name are left out."""
    return {new: value for old, value in state.items() if (new := rename(old)) is not None}


def flattened(state):
    """Take the time axis from kernels of video, as networks of images have them."""
    return {k: v[:, :, 0] if v.dim() == 5 else v for k, v in state.items()}
