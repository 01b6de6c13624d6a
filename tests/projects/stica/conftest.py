import pytest
import stica

from slowfast.config import get_cfg


@pytest.fixture
def cfg():
    """StiCA on R(2+1)D-18 and ResNet-9 of four channels, without dropout."""
    tree = get_cfg()
    stica.add_config(tree)
    tree.MODEL.MODEL_NAME = "StiCA"
    tree.MODEL.ARCH = "r2plus1d_18"
    tree.MODEL.POOLING = "transformer"
    tree.MODEL.FEATURE_AUG = "feature_crop"
    tree.MODEL.HEAD = "stica_projection"
    tree.MODEL.LOSS_FUNC = "stica"
    tree.RESNET.WIDTH_PER_GROUP = 4
    tree.AUDIO.ENABLE = True
    tree.AUDIO.WIDTH = 4
    tree.DATA.TRAIN_CROP_NUM_SPATIAL = 2
    tree.STICA.HEAD_DIM = 16
    tree.STICA.EMBED_DIM = 8
    tree.STICA.HEAD_DROPOUT = 0.0
    return tree
