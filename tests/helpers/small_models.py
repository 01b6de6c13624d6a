"""Frozen models of random weights, as small as each architecture allows."""

import torch

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import load_config
from slowfast.datasets.preprocess.batch import build_preprocess
from slowfast.inference.frozen import FrozenModel
from slowfast.models.build import construct_model
from slowfast.utils.checkpoint import checkpoint_path, write_checkpoint_file

COMMON = (
    "DATA.NUM_FRAMES 8 DATA.SAMPLING_RATE 4 DATA.TARGET_FPS 30 DATA.TRAIN_CROP_SIZE 32 "
    "DATA.TEST_CROP_SIZE 32 DATA.TRAIN_JITTER_SCALES [32,32] DATA.DECODING_SHORT_SIZE 0 "
    "TEST.DATASET kinetics TRAIN.DATASET kinetics TEST.NUM_ENSEMBLE_VIEWS 2 "
    "TEST.NUM_SPATIAL_CROPS 1 DATA_LOADER.NUM_WORKERS 0 NUM_GPUS 0 MODEL.NUM_CLASSES 3"
)
ARCHITECTURES = {
    "r2plus1d": "MODEL.MODEL_NAME VideoResNet MODEL.ARCH r2plus1d_18 RESNET.WIDTH_PER_GROUP 4",
    "slowfast": "MODEL.MODEL_NAME SlowFast MODEL.ARCH slowfast RESNET.WIDTH_PER_GROUP 8 "
    "SLOWFAST.ALPHA 4 SLOWFAST.BETA_INV 4",
    "x3d": "MODEL.MODEL_NAME X3D MODEL.ARCH x3d X3D.WIDTH_FACTOR 0.5 X3D.DEPTH_FACTOR 1.0 "
    "X3D.DIM_C5 16",
    "mvit": "MODEL.MODEL_NAME MViT MODEL.ARCH mvit MVIT.EMBED_DIM 16 MVIT.DEPTH 3 "
    "MVIT.DIM_MUL [[1,2.0]] MVIT.HEAD_MUL [[1,2.0]] MVIT.DROPPATH_RATE 0.0 "
    "MVIT.POOL_Q_STRIDE [[1,1,2,2]] MVIT.POOL_KV_STRIDE_ADAPTIVE [1,4,4] "
    "MVIT.PATCH_PADDING [1,3,3] MVIT.USE_ABS_POS False MVIT.REL_POS_SPATIAL True "
    "MVIT.REL_POS_TEMPORAL True MVIT.MODE conv",
    "s3d": "MODEL.MODEL_NAME S3D MODEL.ARCH s3d RESNET.WIDTH_PER_GROUP 8",
    "c3d": "MODEL.MODEL_NAME C3D MODEL.ARCH c3d RESNET.WIDTH_PER_GROUP 4",
}
AUDIO = "AUDIO.ENABLE True AUDIO.ARCH audio_resnet9 AUDIO.WIDTH 4 AUDIO.CLIP_SEC 0.5"
METHOD = (
    f"PROJECTS ['stica'] {AUDIO} MODEL.MODEL_NAME StiCA MODEL.LOSS_FUNC stica "
    "MODEL.POOLING transformer MODEL.HEAD stica_projection STICA.HEAD_DIM 16 STICA.EMBED_DIM 8"
)
AUDIO_CLASSIFIER = f"{AUDIO} MODEL.MODEL_NAME AudioClassifier TEST.DATASET esc50"


def small_cfg(*words):
    """The configuration of COMMON and more overrides, as strings of pairs."""
    return load_config(None, " ".join([COMMON, *words]).split(), validate=False).cfg


def _calibrate(encoder, cfg):
    """Set the running statistics of batch norm to those of noise, so that features vary."""
    batch = {"video": torch.randn(4, 1, 3, 8, 32, 32)}
    if cfg.AUDIO.ENABLE:
        prepare = build_preprocess(cfg, train=False)
        batch["audio"] = prepare.audio(0.1 * torch.randn(4, 1, 12000))
    for module in encoder.modules():
        if hasattr(module, "momentum"):
            module.momentum = 1.0
    with torch.no_grad():
        encoder.train().embed(batch)
    encoder.eval()


def small_model(*words, **options):
    """A frozen model with random weights and running statistics."""
    cfg = small_cfg(*words)
    torch.manual_seed(0)
    encoder = construct_model(cfg)
    _calibrate(encoder, cfg)
    without = () if getattr(encoder, "classifies", True) else ("scores",)
    options = {"without": without, **options}
    return FrozenModel(encoder, cfg, name="small", **options)


def save_run(model, folder):
    """Write a frozen model as the checkpoint of a run."""
    content = {"epoch": 0, "model_state": model.encoder.state_dict(), "cfg": model.cfg.dump()}
    names = {"class_names": model.class_names}
    write_checkpoint_file(checkpoint_path(folder, 1), content | names)
    return folder
