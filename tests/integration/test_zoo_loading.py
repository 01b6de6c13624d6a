"""Every row of the zoo: names and shapes as published fill the model that the row's YAML builds."""

import pytest
import stica
import torch
from helpers.zoo_files import (
    basic_image_name,
    blob_name,
    flattened,
    image_name,
    meta_state,
    published_shapes,
    renamed,
)

from slowfast.config import load_config
from slowfast.models.build import build_model
from slowfast.models.weights import convert_state_dict, load_state
from slowfast.models.zoo.rows import ZOO_REGISTRY

HEAD = ["head.projection.bias", "head.projection.weight"]
# Rows whose file's names and shapes are in no dump; the formats of stica have tests of their own.
NOT_DUMPED = {"pyslowfast_mvit_b_32x3"}
# One of each format; the others are as slow as they are alike.
QUICK = {
    "torchvision_r3d_18",
    "torchvision_s3d",
    "torchvision_resnet50",
    "pytorchvideo_slow_8x8_r50",
    "pyslowfast_c2_slowfast_4x16_r50",
    "pyslowfast_x3d_s",
    "pyslowfast_moco_slow_r50_8x8_rho4",
    "pyslowfast_mvitv2_s_16x4",
}


def rows():
    for row in (entry() for _, entry in ZOO_REGISTRY):
        if ZOO_REGISTRY.get(row.name).__module__ == "stica.zoo" or row.name in NOT_DUMPED:
            continue
        marks = [] if row.name in QUICK else [pytest.mark.slow]
        yield pytest.param(row, id=row.name, marks=marks)


def published_state(row):
    """The row's file, without values."""
    if row.format == "torchvision":
        return meta_state(published_shapes(row.name.replace("torchvision_", "torchvision/")))
    if row.name == "torchvision_resnet18":
        video = meta_state(published_shapes("torchvision/r3d_18"))
        return flattened(renamed(video, basic_image_name))
    # Without its pooling C2D has the same layers, and that YAML could not be built to be dumped.
    config = row.config.replace("c2/C2D_NOPOOL_8x8_R50", "C2D_8x8_R50")
    state = meta_state(published_shapes(config))
    if row.format == "torchvision, images":
        return flattened(renamed(state, image_name))
    if row.format == "Caffe2":
        return renamed(state, blob_name)
    if row.format == "pytorchvideo":
        return {key.removeprefix("model."): value for key, value in state.items()}
    if "contrastive" in row.source:
        return contrastive_state(state)
    if row.name == "pyslowfast_r50_in1k":
        return flattened({k: v for k, v in state.items() if not k.startswith("head.")})
    return state


def contrastive_state(state):
    """PySlowFast's ContrastiveModel: two networks with deep heads, a queue, prototypes."""
    network = {k: v for k, v in state.items() if not k.startswith("head.")}
    layers = {"projection.0.weight": (2048, 2048), "projection.2.weight": (128, 2048)}
    heads = {f"head.projection.{k}": shape for k, shape in layers.items()}
    heads |= {f"head.predictors.0.{k}": shape for k, shape in layers.items()}
    network |= meta_state(heads)
    twice = {f"{part}.{k}": v for part in ("backbone", "backbone_hist") for k, v in network.items()}
    others = {"queue_x": (65536, 128), "ptr": (1,), "iter": (1,), "knn_mem.memory": (9, 1, 128)}
    return {**twice, **meta_state({**others, "swav_prototypes.weight": (1000, 128)})}


# Batch norm's counters, which Caffe2 does not have, are filled in by torch with values.
@pytest.mark.filterwarnings("ignore:.*num_batches_tracked. copying from a non-meta:UserWarning")
@pytest.mark.parametrize("row", list(rows()))
def test_a_published_file_fills_the_network(row):
    words = [*row.words, "DATA.PATH_TO_DATA_DIR", "unused", "NUM_GPUS", "0"]
    cfg = load_config(row.config, words, validate=False).cfg
    with torch.device("meta"):
        model = build_model(cfg)
    state = published_state(row)
    for pattern in cfg.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN:
        state = {key.replace(pattern, "", 1): value for key, value in state.items()}
    state = convert_state_dict(state, own=model.state_dict())
    report = load_state(model, state, inflate_2d=cfg.TRAIN.CHECKPOINT_INFLATE)
    has_head = "images" not in row.metric and "contrastive" not in row.source
    has_head = has_head and "NUM_CLASSES" not in " ".join(row.words)
    assert report.missed == ([] if has_head else HEAD)
    assert not report.skipped or not has_head


def test_rows_of_the_project_are_known():
    assert NOT_DUMPED | {"gdt_k400", "avid_k400", "stica-demo"} <= set(ZOO_REGISTRY.names())
    assert ZOO_REGISTRY.get("gdt_k400").__module__ == stica.zoo.__name__
