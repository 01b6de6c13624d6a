"""Runs with small models of random weights, for tests of what reads a run's folder."""

import torch

from slowfast.config import load_config
from slowfast.models.build import construct_model
from slowfast.utils.checkpoint import checkpoint_path, write_checkpoint_file

_WORDS = (
    "PROJECTS ['stica'] MODEL.MODEL_NAME StiCA MODEL.LOSS_FUNC stica MODEL.ARCH r2plus1d_18 "
    "AUDIO.ENABLE True AUDIO.ARCH audio_resnet9 AUDIO.WIDTH 4 AUDIO.CLIP_SEC 0.25 "
    "RESNET.WIDTH_PER_GROUP 2 DATA.NUM_FRAMES 4 DATA.SAMPLING_RATE 2 DATA.TARGET_FPS 30 "
    "DATA.TRAIN_CROP_SIZE 16 DATA.TEST_CROP_SIZE 16 DATA.TRAIN_JITTER_SCALES [16,16] "
    "DATA.DECODING_SHORT_SIZE 0 TEST.NUM_ENSEMBLE_VIEWS 1 TEST.NUM_SPATIAL_CROPS 1 "
    "TEST.BATCH_SIZE 16 DATA_LOADER.NUM_WORKERS 0 NUM_GPUS 0 TEST.DATASET kinetics "
    "TRAIN.DATASET kinetics"
)


def write_stica_run(folder, seed=0):
    """Write a run's folder with a StiCA model of two modalities; returns its cfg and model."""
    words = [*_WORDS.split(), "OUTPUT_DIR", str(folder)]
    cfg = load_config(None, words, validate=False).cfg
    torch.manual_seed(seed)
    model = construct_model(cfg).eval()
    content = {"epoch": 0, "model_state": model.state_dict(), "cfg": cfg.dump()}
    write_checkpoint_file(checkpoint_path(folder, 1), content)
    return cfg, model
