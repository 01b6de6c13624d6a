"""PySlowFast's keys of parts that are not built here.

They stay in the tree so that its YAMLs load. Switching one of them on is an error that says what
to use; their inner settings alone do nothing, as nothing reads them.
"""

from typing import Any

from fvcore.common.config import CfgNode

from slowfast.config.checks import register_check
from slowfast.config.problems import Problem

DEFAULTS: dict[str, Any] = {
    "AUG.AA_TYPE": "rand-m9-mstd0.5-inc1",
    "AUG.COLOR_JITTER": 0.4,
    "AUG.ENABLE": False,
    "AUG.GEN_MASK_LOADER": False,
    "AUG.INTERPOLATION": "bicubic",
    "AUG.MASK_FRAMES": False,
    "AUG.MASK_RATIO": 0.0,
    "AUG.MASK_TUBE": False,
    "AUG.MASK_WINDOW_SIZE": [8, 7, 7],
    "AUG.MAX_MASK_PATCHES_PER_BLOCK": None,
    "AUG.NUM_SAMPLE": 1,
    "AUG.RE_COUNT": 1,
    "AUG.RE_MODE": "pixel",
    "AUG.RE_PROB": 0.25,
    "AUG.RE_SPLIT": False,
    "AVA.ANNOTATION_DIR": "",
    "AVA.BGR": False,
    "AVA.DETECTION_SCORE_THRESH": 0.9,
    "AVA.EXCLUSION_FILE": "ava_val_excluded_timestamps_v2.2.csv",
    "AVA.FRAME_DIR": "",
    "AVA.FRAME_LIST_DIR": "",
    "AVA.FULL_TEST_ON_VAL": False,
    "AVA.GROUNDTRUTH_FILE": "ava_val_v2.2.csv",
    "AVA.IMG_PROC_BACKEND": "cv2",
    "AVA.LABEL_MAP_FILE": "ava_action_list_v2.2_for_activitynet_2019.pbtxt",
    "AVA.TEST_FORCE_FLIP": False,
    "AVA.TEST_LISTS": ["val.csv"],
    "AVA.TEST_PREDICT_BOX_LISTS": ["ava_val_predicted_boxes.csv"],
    "AVA.TRAIN_GT_BOX_LISTS": ["ava_train_v2.2.csv"],
    "AVA.TRAIN_LISTS": ["train.csv"],
    "AVA.TRAIN_PCA_JITTER_ONLY": True,
    "AVA.TRAIN_PREDICT_BOX_LISTS": [],
    "AVA.TRAIN_USE_COLOR_AUGMENTATION": False,
    "BENCHMARK.LOG_PERIOD": 100,
    "BENCHMARK.NUM_EPOCHS": 5,
    "BENCHMARK.SHUFFLE": True,
    "DATA.DUMMY_LOAD": False,
    "DATA.IN22K_TRAINVAL": False,
    "DATA.IN22k_VAL_IN1K": "",
    "DATA.INV_UNIFORM_SAMPLE": False,
    "DATA.IN_VAL_CROP_RATIO": 0.875,
    "DATA.LOADER_CHUNK_OVERALL_SIZE": 0,
    "DATA.LOADER_CHUNK_SIZE": 0,
    "DATA.PATH_TO_PRELOAD_IMDB": "",
    "DATA.TIME_DIFF_PROB": 0.0,
    "DATA.TRAIN_JITTER_FPS": 0.0,
    "DATA.TRAIN_JITTER_MOTION_SHIFT": False,
    "DATA.TRAIN_PCA_EIGVAL": [0.225, 0.224, 0.229],
    "DATA.TRAIN_PCA_EIGVEC": [
        [-0.5675, 0.7192, 0.4009],
        [-0.5808, -0.0045, -0.814],
        [-0.5836, -0.6948, 0.4203],
    ],
    "DATA.USE_OFFSET_SAMPLING": False,
    "DATA_LOADER.ENABLE_MULTI_THREAD_DECODE": False,
    "DEMO.BUFFER_SIZE": 0,
    "DEMO.CLIP_VIS_SIZE": 10,
    "DEMO.COMMON_CLASS_NAMES": [
        "watch (a person)",
        "talk to (e.g., self, a person, a group)",
        "listen to (a person)",
        "touch (an object)",
        "carry/hold (an object)",
        "walk",
        "sit",
        "lie/sleep",
        "bend/bow (at the waist)",
    ],
    "DEMO.COMMON_CLASS_THRES": 0.7,
    "DEMO.DETECTRON2_CFG": "COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml",
    "DEMO.DETECTRON2_THRESH": 0.9,
    "DEMO.DETECTRON2_WEIGHTS": "detectron2://COCO-Detection/faster_rcnn_R_50_FPN_3x/137849458/model_final_280758.pkl",
    "DEMO.DISPLAY_HEIGHT": 0,
    "DEMO.DISPLAY_WIDTH": 0,
    "DEMO.ENABLE": False,
    "DEMO.FPS": 30,
    "DEMO.GT_BOXES": "",
    "DEMO.INPUT_FORMAT": "BGR",
    "DEMO.INPUT_VIDEO": "",
    "DEMO.LABEL_FILE_PATH": "",
    "DEMO.NUM_CLIPS_SKIP": 0,
    "DEMO.NUM_VIS_INSTANCES": 2,
    "DEMO.OUTPUT_FILE": "",
    "DEMO.OUTPUT_FPS": -1,
    "DEMO.PREDS_BOXES": "",
    "DEMO.SLOWMO": 1,
    "DEMO.STARTING_SECOND": 900,
    "DEMO.THREAD_ENABLE": False,
    "DEMO.UNCOMMON_CLASS_THRES": 0.3,
    "DEMO.VIS_MODE": "thres",
    "DEMO.WEBCAM": -1,
    "DETECTION.ALIGNED": True,
    "DETECTION.ENABLE": False,
    "DETECTION.ROI_XFORM_RESOLUTION": 7,
    "DETECTION.SPATIAL_SCALE_FACTOR": 16,
    "MASK.DECODER_DEPTH": 0,
    "MASK.DECODER_EMBED_DIM": 512,
    "MASK.DECODER_SEP_POS_EMBED": False,
    "MASK.DEC_KV_KERNEL": [],
    "MASK.DEC_KV_STRIDE": [],
    "MASK.ENABLE": False,
    "MASK.HEAD_TYPE": "separate",
    "MASK.MAE_ON": False,
    "MASK.MAE_RND_MASK": False,
    "MASK.NORM_PRED_PIXEL": True,
    "MASK.PER_FRAME_MASKING": False,
    "MASK.PRED_HOG": False,
    "MASK.PRETRAIN_DEPTH": [15],
    "MASK.SCALE_INIT_BY_DEPTH": False,
    "MASK.TIME_STRIDE_LOSS": True,
    "MIXUP.ALPHA": 0.8,
    "MIXUP.CUTMIX_ALPHA": 1.0,
    "MIXUP.ENABLE": False,
    "MIXUP.LABEL_SMOOTH_VALUE": 0.1,
    "MIXUP.PROB": 1.0,
    "MIXUP.SWITCH_PROB": 0.5,
    "MULTIGRID.BN_BASE_SIZE": 8,
    "MULTIGRID.DEFAULT_B": 0,
    "MULTIGRID.DEFAULT_S": 0,
    "MULTIGRID.DEFAULT_T": 0,
    "MULTIGRID.EPOCH_FACTOR": 1.5,
    "MULTIGRID.EVAL_FREQ": 3,
    "MULTIGRID.LONG_CYCLE": False,
    "MULTIGRID.LONG_CYCLE_FACTORS": [
        [0.25, 0.7071067811865476],
        [0.5, 0.7071067811865476],
        [0.5, 1],
        [1, 1],
    ],
    "MULTIGRID.LONG_CYCLE_SAMPLING_RATE": 0,
    "MULTIGRID.SHORT_CYCLE": False,
    "MULTIGRID.SHORT_CYCLE_FACTORS": [0.5, 0.7071067811865476],
    "MVIT.REV.BUFFER_LAYERS": [],
    "MVIT.REV.ENABLE": False,
    "MVIT.REV.PRE_Q_FUSION": "avg",
    "MVIT.REV.RESPATH_FUSE": "concat",
    "MVIT.REV.RES_PATH": "conv",
    "PREFETCH.NUM_LOADERS": 3,
    "TENSORBOARD.CATEGORIES_PATH": "",
    "TENSORBOARD.CLASS_NAMES_PATH": "",
    "TENSORBOARD.CONFUSION_MATRIX.ENABLE": False,
    "TENSORBOARD.CONFUSION_MATRIX.FIGSIZE": [8, 8],
    "TENSORBOARD.CONFUSION_MATRIX.SUBSET_PATH": "",
    "TENSORBOARD.HISTOGRAM.ENABLE": False,
    "TENSORBOARD.HISTOGRAM.FIGSIZE": [8, 8],
    "TENSORBOARD.HISTOGRAM.SUBSET_PATH": "",
    "TENSORBOARD.HISTOGRAM.TOPK": 10,
    "TENSORBOARD.MODEL_VIS.ACTIVATIONS": False,
    "TENSORBOARD.MODEL_VIS.COLORMAP": "Pastel2",
    "TENSORBOARD.MODEL_VIS.ENABLE": False,
    "TENSORBOARD.MODEL_VIS.GRAD_CAM.COLORMAP": "viridis",
    "TENSORBOARD.MODEL_VIS.GRAD_CAM.ENABLE": True,
    "TENSORBOARD.MODEL_VIS.GRAD_CAM.LAYER_LIST": [],
    "TENSORBOARD.MODEL_VIS.GRAD_CAM.USE_TRUE_LABEL": False,
    "TENSORBOARD.MODEL_VIS.INPUT_VIDEO": False,
    "TENSORBOARD.MODEL_VIS.LAYER_LIST": [],
    "TENSORBOARD.MODEL_VIS.MODEL_WEIGHTS": False,
    "TENSORBOARD.MODEL_VIS.TOPK_PREDS": 1,
    "TENSORBOARD.PREDICTIONS_PATH": "",
    "TENSORBOARD.WRONG_PRED_VIS.ENABLE": False,
    "TENSORBOARD.WRONG_PRED_VIS.SUBSET_PATH": "",
    "TENSORBOARD.WRONG_PRED_VIS.TAG": "Incorrectly classified videos.",
    "VIS_MASK.ENABLE": False,
}

# Key that switches a part on -> what to do instead.
SWITCHES: dict[str, str] = {
    "AUG.ENABLE": "RandAugment and random erasing; use DATA.SSL_COLOR_JITTER and "
    "DATA.TRAIN_JITTER_SCALES_RELATIVE",
    "AUG.GEN_MASK_LOADER": "masked pretraining; use False",
    "DATA.DUMMY_LOAD": "random input; leave DATA.PATH_TO_DATA_DIR empty for the built-in demo set",
    "DATA.TIME_DIFF_PROB": "frame differences as input; use 0.0",
    "DATA.TRAIN_JITTER_FPS": "frame rate jitter; use 0.0",
    "DATA.TRAIN_JITTER_MOTION_SHIFT": "moving crops; use False",
    "DATA.LOADER_CHUNK_SIZE": "chunked csv files; the manifest is memory-mapped, use 0",
    "DEMO.ENABLE": "the interactive demo; run with TEST.ENABLE True on a folder of videos",
    "DETECTION.ENABLE": "AVA detection; train a classifier instead",
    "MASK.ENABLE": "masked pretraining; use a contrastive project instead (PROJECTS), or fine-tune "
    "published weights with configs/masked_ssl/*_FT.yaml",
    "MIXUP.ENABLE": "mixup and cutmix; use False",
    "MULTIGRID.LONG_CYCLE": "multigrid training; use a fixed DATA.NUM_FRAMES and TRAIN_CROP_SIZE",
    "MULTIGRID.SHORT_CYCLE": "multigrid training; use a fixed DATA.NUM_FRAMES and TRAIN_CROP_SIZE",
    "MODEL.FP16_ALLREDUCE": "half-precision gradient reduction; use TRAIN.MIXED_PRECISION",
    "MVIT.REV.ENABLE": "reversible MViT; use configs/Kinetics/MVIT_B_16x4_CONV.yaml, with "
    "MODEL.ACT_CHECKPOINT True to save memory",
    "TENSORBOARD.CONFUSION_MATRIX.ENABLE": "the confusion matrix; see results.json",
    "TENSORBOARD.HISTOGRAM.ENABLE": "prediction histograms; see results.json",
    "TENSORBOARD.MODEL_VIS.ENABLE": "model visualization; use False",
    "TENSORBOARD.WRONG_PRED_VIS.ENABLE": "videos of wrong predictions; see results.json",
    "TEST.NUM_TEMPORAL_CLIPS": "several view counts in one test; run TEST.NUM_ENSEMBLE_VIEWS each",
    "VIS_MASK.ENABLE": "visualization of masked pretraining; use False",
}

_AVA = "AVA and detection; train a classifier on kinetics, ssv2 or a folder of videos"
_CHARADES = "Charades, whose videos have several labels; use a dataset of one label per video"
_IMAGES = "datasets of pictures; load published weights with TRAIN.CHECKPOINT_INFLATE True"
_CONTRASTIVE = (
    "PySlowFast's contrastive pretraining; use an installed project (PROJECTS), or fine-tune its "
    "published weights, such as zoo://pyslowfast_moco_slow_r50_8x8_rho4, with "
    "configs/contrastive_ssl/finetune_*.yaml"
)
_MASKED = "masked pretraining; fine-tune published weights with configs/masked_ssl/*_FT.yaml"

# Key -> name of a part that is not built, and would else be called unknown -> what to do instead.
NAMES: dict[str, dict[str, str]] = {
    "MODEL.MODEL_NAME": {"MaskMViT": _MASKED, "ContrastiveModel": _CONTRASTIVE},
    "MODEL.ARCH": {"maskmvit": _MASKED, "2d": _IMAGES},
    "MODEL.LOSS_FUNC": {"multi_mse": _MASKED, "contrastive_loss": _CONTRASTIVE},
    **{
        f"{split}.DATASET": {
            "ava": _AVA,
            "charades": _CHARADES,
            "imagenet": _IMAGES,
            "ptvkinetics": "pytorchvideo's loader; use kinetics, which reads the same csv files",
            "ptvssv2": "pytorchvideo's loader; use ssv2",
            "ptvcharades": _CHARADES,
        }
        for split in ("TRAIN", "TEST")
    },
}

# Section that PySlowFast's YAMLs have and nothing here does -> what to do instead.
SECTIONS: dict[str, str] = {"CONTRASTIVE": _CONTRASTIVE}


def add_config(cfg: CfgNode) -> None:
    """Add the keys of parts that are not built.

    Args:
        cfg: The tree to add to.
    """
    for key, value in DEFAULTS.items():
        node = cfg
        *parents, leaf = key.split(".")
        for name in parents:
            if name not in node:
                node[name] = CfgNode()
            node = node[name]
        node[leaf] = value


@register_check
def check_unbuilt(cfg: CfgNode) -> list[Problem]:
    """Find switches of parts that are not built.

    Args:
        cfg: The merged configuration.

    Returns:
        One problem per switch that is on, and one for a model that is not built and has no switch
        or has it off.
    """
    problems = []
    for key, instead in SWITCHES.items():
        value = _value(cfg, key)
        if value:
            problems.append(Problem(key, f"got {value!r}, but this is not built here: {instead}."))
    if not cfg.MASK.ENABLE:
        for key in (key for key in NAMES if key.startswith("MODEL.")):
            message = describe_unbuilt(key, _value(cfg, key))
            if message:
                return [*problems, Problem(key, message)]
    return problems


def describe_unbuilt(key: str, name: str) -> str:
    """Say that a name is that of a part that is known but not built.

    Args:
        key: The configuration key that holds the name.
        name: Its value.

    Returns:
        The message, or "" for any other name.
    """
    instead = NAMES.get(key, {}).get(name, "")
    return f"got {name!r}, but this is not built here: {instead}." if instead else ""


def is_unbuilt(key: str, name: str) -> bool:
    """Say whether a name is that of a part that is known but not built.

    Args:
        key: The configuration key that holds the name.
        name: Its value.

    Returns:
        True for names that ``check_unbuilt`` reports, so that nobody else has to.
    """
    return name in NAMES.get(key, {})


def _value(cfg: CfgNode, key: str) -> Any:
    node: Any = cfg
    for name in key.split("."):
        node = node[name]
    return node
