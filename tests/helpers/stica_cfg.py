"""StiCA at its smallest."""

import stica

from slowfast.config import get_cfg


def small_stica(*words):
    """StiCA on R(2+1)D-18 and ResNet-9 of four channels, without dropout."""
    cfg = get_cfg()
    stica.add_config(cfg)
    cfg.merge_from_list(
        [
            *("MODEL.MODEL_NAME", "StiCA", "MODEL.ARCH", "r2plus1d_18"),
            *("MODEL.POOLING", "transformer", "MODEL.FEATURE_AUG", "feature_crop"),
            *("MODEL.HEAD", "stica_projection", "MODEL.LOSS_FUNC", "stica"),
            *("RESNET.WIDTH_PER_GROUP", 4, "AUDIO.WIDTH", 4, "AUDIO.ENABLE", True),
            *("STICA.HEAD_DIM", 16, "STICA.EMBED_DIM", 8, "STICA.HEAD_DROPOUT", 0.0),
            *("DATA.TRAIN_CROP_NUM_SPATIAL", 2, *words),
        ]
    )
    return cfg
