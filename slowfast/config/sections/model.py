"""Models and their parts."""

from fvcore.common.config import CfgNode


def add_config(cfg: CfgNode) -> None:
    """Add MODEL, RESNET, BN and the sections of the backbone families.

    Args:
        cfg: The tree to add to.
    """
    _add_model(cfg)
    _add_batch_norm(cfg)
    _add_resnet(cfg)
    _add_slowfast_and_x3d(cfg)
    _add_mvit(cfg)


def _add_model(cfg: CfgNode) -> None:
    cfg.MODEL = CfgNode()
    # Kind of model, a name in MODEL_REGISTRY.
    cfg.MODEL.MODEL_NAME = "SlowFast"
    # Video backbone, a name in BACKBONE_REGISTRY.
    cfg.MODEL.ARCH = "slowfast"
    # From time steps to one vector, a name in POOLING_REGISTRY. "native": what the family does.
    cfg.MODEL.POOLING = "native"
    # Augmentation of the feature map in training, a name in FEATURE_AUG_REGISTRY, or "none".
    cfg.MODEL.FEATURE_AUG = "none"
    # Weight w of the crops' loss in a classifier: (1 - w) full map + w mean over crops.
    cfg.MODEL.FEATURE_AUG_WEIGHT = 0.5
    # Head of a classifier, a name in HEAD_REGISTRY.
    cfg.MODEL.HEAD = "linear"
    # A name in LOSS_REGISTRY.
    cfg.MODEL.LOSS_FUNC = "cross_entropy"
    # Classes of a classifier.
    cfg.MODEL.NUM_CLASSES = 400
    # Backbones that take one input, and backbones that take several. Kept for PySlowFast's YAMLs;
    # a backbone here knows its own inputs.
    cfg.MODEL.SINGLE_PATHWAY_ARCH = ["2d", "c2d", "i3d", "slow", "x3d", "mvit", "maskmvit"]
    cfg.MODEL.MULTI_PATHWAY_ARCH = ["slowfast"]
    # Dropout before the classifier's last layer.
    cfg.MODEL.DROPOUT_RATE = 0.5
    # Probability of dropping a residual branch.
    cfg.MODEL.DROPCONNECT_RATE = 0.0
    # Standard deviation of the last layer's initial weights.
    cfg.MODEL.FC_INIT_STD = 0.01
    # Applied to the logits in evaluation: "softmax", "sigmoid" or "none".
    cfg.MODEL.HEAD_ACT = "softmax"
    # Recompute activations in the backward pass to save memory.
    cfg.MODEL.ACT_CHECKPOINT = False
    # Train the head only: backbone and pooling stay as they are (linear probe).
    cfg.MODEL.DETACH_FINAL_FC = False
    # Train pooling and head on a backbone that stays as it is (attentive probe).
    cfg.MODEL.FREEZE_BACKBONE = False
    # Attention heads of MODEL.POOLING "attentive", which must divide the backbone's channels.
    cfg.MODEL.ATTENTIVE_HEADS = 8
    # Keep channels last in memory: faster convolutions for small models on the CPU and in reduced
    # precision on GPUs; results differ by rounding only.
    cfg.MODEL.CHANNELS_LAST = False
    # Keep batch norm at its running statistics (its scale and shift are still trained).
    cfg.MODEL.FROZEN_BN = False
    # Kept for PySlowFast's YAMLs (not built).
    cfg.MODEL.FP16_ALLREDUCE = False


def _add_batch_norm(cfg: CfgNode) -> None:
    cfg.BN = CfgNode()
    # "batchnorm" (statistics of each process) or "sync_batchnorm" (statistics of all of them).
    cfg.BN.NORM_TYPE = "batchnorm"
    # Recompute running statistics over NUM_BATCHES_PRECISE batches before evaluating or saving.
    cfg.BN.USE_PRECISE_STATS = False
    cfg.BN.NUM_BATCHES_PRECISE = 200
    # Weight decay of batch norm's parameters.
    cfg.BN.WEIGHT_DECAY = 0.0
    # Kept for PySlowFast's YAMLs: sync_batchnorm here always spans all processes.
    cfg.BN.NUM_SPLITS = 1
    cfg.BN.NUM_SYNC_DEVICES = 1
    cfg.BN.GLOBAL_SYNC = False


def _add_resnet(cfg: CfgNode) -> None:
    cfg.RESNET = CfgNode()
    # Layers: 18, 50 or 101.
    cfg.RESNET.DEPTH = 50
    # Channels after the first convolution; 64 is the published width.
    cfg.RESNET.WIDTH_PER_GROUP = 64
    cfg.RESNET.NUM_GROUPS = 1
    # Residual function: "bottleneck_transform", "basic_transform" or "x3d_transform".
    cfg.RESNET.TRANS_FUNC = "bottleneck_transform"
    cfg.RESNET.INPLACE_RELU = True
    cfg.RESNET.STRIDE_1X1 = False
    cfg.RESNET.ZERO_INIT_FINAL_BN = False
    cfg.RESNET.ZERO_INIT_FINAL_CONV = False
    cfg.RESNET.NUM_BLOCK_TEMP_KERNEL = [[3], [4], [6], [3]]
    cfg.RESNET.SPATIAL_STRIDES = [[1], [2], [2], [2]]
    cfg.RESNET.SPATIAL_DILATIONS = [[1], [1], [1], [1]]
    cfg.NONLOCAL = CfgNode()
    # Blocks with a non-local layer, per stage and pathway, and how it is built.
    cfg.NONLOCAL.LOCATION = [[[]], [[]], [[]], [[]]]
    cfg.NONLOCAL.GROUP = [[1], [1], [1], [1]]
    cfg.NONLOCAL.INSTANTIATION = "dot_product"
    cfg.NONLOCAL.POOL = [[[1, 2, 2], [1, 2, 2]] for _ in range(4)]


def _add_slowfast_and_x3d(cfg: CfgNode) -> None:
    cfg.SLOWFAST = CfgNode()
    # Channels of the slow pathway over those of the fast one.
    cfg.SLOWFAST.BETA_INV = 8
    # Frames of the fast pathway over those of the slow one.
    cfg.SLOWFAST.ALPHA = 8
    # Channels and kernel (in frames) of the lateral connections.
    cfg.SLOWFAST.FUSION_CONV_CHANNEL_RATIO = 2
    cfg.SLOWFAST.FUSION_KERNEL_SZ = 5
    cfg.X3D = CfgNode()
    # Expansion of width, depth and bottleneck, and channels of the first and last stages.
    cfg.X3D.WIDTH_FACTOR = 1.0
    cfg.X3D.DEPTH_FACTOR = 1.0
    cfg.X3D.BOTTLENECK_FACTOR = 1.0
    cfg.X3D.DIM_C5 = 2048
    cfg.X3D.DIM_C1 = 12
    cfg.X3D.SCALE_RES2 = False
    cfg.X3D.BN_LIN5 = False
    cfg.X3D.CHANNELWISE_3x3x3 = True


def _add_mvit(cfg: CfgNode) -> None:
    cfg.MVIT = CfgNode()
    # Keys and values of PySlowFast's multiscale vision transformer.
    cfg.MVIT.MODE = "conv"
    cfg.MVIT.POOL_FIRST = False
    cfg.MVIT.CLS_EMBED_ON = True
    cfg.MVIT.PATCH_KERNEL = [3, 7, 7]
    cfg.MVIT.PATCH_STRIDE = [2, 4, 4]
    cfg.MVIT.PATCH_PADDING = [2, 4, 4]
    cfg.MVIT.PATCH_2D = False
    cfg.MVIT.EMBED_DIM = 96
    cfg.MVIT.NUM_HEADS = 1
    cfg.MVIT.MLP_RATIO = 4.0
    cfg.MVIT.QKV_BIAS = True
    cfg.MVIT.DROPPATH_RATE = 0.1
    cfg.MVIT.LAYER_SCALE_INIT_VALUE = 0.0
    cfg.MVIT.DEPTH = 16
    cfg.MVIT.NORM = "layernorm"
    cfg.MVIT.DIM_MUL = []
    cfg.MVIT.HEAD_MUL = []
    cfg.MVIT.POOL_KV_STRIDE = []
    cfg.MVIT.POOL_KV_STRIDE_ADAPTIVE = None
    cfg.MVIT.POOL_Q_STRIDE = []
    cfg.MVIT.POOL_KVQ_KERNEL = None
    cfg.MVIT.ZERO_DECAY_POS_CLS = True
    cfg.MVIT.NORM_STEM = False
    cfg.MVIT.SEP_POS_EMBED = False
    cfg.MVIT.DROPOUT_RATE = 0.0
    cfg.MVIT.USE_ABS_POS = True
    cfg.MVIT.REL_POS_SPATIAL = False
    cfg.MVIT.REL_POS_TEMPORAL = False
    cfg.MVIT.REL_POS_ZERO_INIT = False
    cfg.MVIT.RESIDUAL_POOLING = False
    cfg.MVIT.DIM_MUL_IN_ATT = False
    cfg.MVIT.SEPARATE_QKV = False
    cfg.MVIT.HEAD_INIT_SCALE = 1.0
    cfg.MVIT.USE_MEAN_POOLING = False
    cfg.MVIT.USE_FIXED_SINCOS_POS = False
