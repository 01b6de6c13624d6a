"""Models and their components."""

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
    _add_audio_vit(cfg)


def _add_model(cfg: CfgNode) -> None:
    cfg.MODEL = CfgNode()
    # Kind of model, a name in MODEL_REGISTRY.
    cfg.MODEL.MODEL_NAME = "SlowFast"
    # Video backbone, a name in BACKBONE_REGISTRY.
    cfg.MODEL.ARCH = "slowfast"
    # Pooling of time steps to one vector, a name in POOLING_REGISTRY. "native": the one of the
    # model family.
    cfg.MODEL.POOLING = "native"
    # Augmentation of the feature map in training, a name in FEATURE_AUG_REGISTRY, or "none".
    cfg.MODEL.FEATURE_AUG = "none"
    # Weight w of the crops' loss in a classifier: (1 - w) * full feature map + w * mean over crops.
    cfg.MODEL.FEATURE_AUG_WEIGHT = 0.5
    # Head of a classifier, a name in HEAD_REGISTRY.
    cfg.MODEL.HEAD = "linear"
    # A name in LOSS_REGISTRY.
    cfg.MODEL.LOSS_FUNC = "cross_entropy"
    # Classes of a classifier.
    cfg.MODEL.NUM_CLASSES = 400
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
    # Train the head only, on a frozen backbone and pooling (linear probe).
    cfg.MODEL.DETACH_FINAL_FC = False
    # Train pooling and head on a frozen backbone (attentive probe).
    cfg.MODEL.FREEZE_BACKBONE = False
    # Attention heads of MODEL.POOLING "attentive", which must divide the backbone's channels.
    cfg.MODEL.ATTENTIVE_HEADS = 8
    # Channels-last memory format of videos and 3D convolutions: True; False; or "auto": where the
    # model computes in reduced precision (TRAIN.MIXED_PRECISION), which pays on CPUs and GPUs. In
    # float32 it makes small models faster on the CPU. Results differ by rounding only.
    cfg.MODEL.CHANNELS_LAST = "auto"
    # Compute convolutions over time alone (Tx1x1) as 2D ones where torch's 3D ones are slow: in
    # float32 on the CPU, with one thread and fewer than 16 clips; results differ by rounding only.
    cfg.MODEL.FAST_TIME_CONV = True
    # Batch norm uses its running statistics (scale and shift are still trained).
    cfg.MODEL.FROZEN_BN = False


def _add_batch_norm(cfg: CfgNode) -> None:
    cfg.BN = CfgNode()
    # "batchnorm" (statistics of each process), "sync_batchnorm" (statistics of all of them) or
    # "sub_batchnorm" (of BN.NUM_SPLITS equal splits of each process's rows).
    cfg.BN.NORM_TYPE = "batchnorm"
    # Splits of sub_batchnorm.
    cfg.BN.NUM_SPLITS = 1
    # Recompute running statistics over NUM_BATCHES_PRECISE batches before evaluating or saving.
    cfg.BN.USE_PRECISE_STATS = False
    cfg.BN.NUM_BATCHES_PRECISE = 200
    # Weight decay of batch norm's parameters.
    cfg.BN.WEIGHT_DECAY = 0.0


def _add_resnet(cfg: CfgNode) -> None:
    cfg.RESNET = CfgNode()
    # Layers: 18, 50 or 101.
    cfg.RESNET.DEPTH = 50
    # Channels after the first convolution; 64 is the published width.
    cfg.RESNET.WIDTH_PER_GROUP = 64
    # Groups of the 3x3 convolutions; WIDTH_PER_GROUP is the width of one.
    cfg.RESNET.NUM_GROUPS = 1
    # Residual function: "bottleneck_transform", or "basic_transform" for 18 layers. X3D has its
    # own, which its YAMLs call "x3d_transform".
    cfg.RESNET.TRANS_FUNC = "bottleneck_transform"
    # Stride in the first convolution of a bottleneck instead of the 3x3 one.
    cfg.RESNET.STRIDE_1X1 = False
    # Zero-initialize the last batch norm, or the last convolution, of every residual branch.
    cfg.RESNET.ZERO_INIT_FINAL_BN = False
    cfg.RESNET.ZERO_INIT_FINAL_CONV = False
    # Four lists, one per stage, each with an entry per pathway or one for all of them: number of
    # first blocks with a temporal kernel; stride of the stage; dilation of its convolutions.
    cfg.RESNET.NUM_BLOCK_TEMP_KERNEL = [[3], [4], [6], [3]]
    cfg.RESNET.SPATIAL_STRIDES = [[1], [2], [2], [2]]
    cfg.RESNET.SPATIAL_DILATIONS = [[1], [1], [1], [1]]
    cfg.NONLOCAL = CfgNode()
    # Per stage and pathway: blocks that are followed by a non-local one.
    cfg.NONLOCAL.LOCATION = [[[]], [[]], [[]], [[]]]
    # Number of groups that the frames are divided into; attention is within a group.
    cfg.NONLOCAL.GROUP = [[1], [1], [1], [1]]
    # "dot_product" or "softmax".
    cfg.NONLOCAL.INSTANTIATION = "dot_product"
    # Max pooling of keys and values, in frames, rows and columns.
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
    # X3D (MODEL.ARCH x3d): factors on channels, on blocks per stage, on the channels within blocks.
    cfg.X3D = CfgNode()
    cfg.X3D.WIDTH_FACTOR = 1.0
    cfg.X3D.DEPTH_FACTOR = 1.0
    cfg.X3D.BOTTLENECK_FACTOR = 1.0
    # Channels after the last linear layer before the classifier (MODEL.POOLING native), and of the
    # stem before WIDTH_FACTOR.
    cfg.X3D.DIM_C5 = 2048
    cfg.X3D.DIM_C1 = 12
    # Also double the channels in the first stage.
    cfg.X3D.SCALE_RES2 = False
    # Batch norm after the last linear layer before the classifier.
    cfg.X3D.BN_LIN5 = False
    # One 3x3x3 kernel per channel; False: RESNET.NUM_GROUPS groups.
    cfg.X3D.CHANNELWISE_3x3x3 = True


def _add_mvit(cfg: CfgNode) -> None:
    # Multiscale vision transformers (MODEL.ARCH mvit), under PySlowFast's keys.
    cfg.MVIT = CfgNode()
    # Blocks; channels and attention heads of the first one; channels of an MLP over its input's.
    cfg.MVIT.DEPTH = 16
    cfg.MVIT.EMBED_DIM = 96
    cfg.MVIT.NUM_HEADS = 1
    cfg.MVIT.MLP_RATIO = 4.0
    # Patches: kernel, stride and padding in time, height and width; PATCH_2D: in height and width,
    # per frame.
    cfg.MVIT.PATCH_KERNEL = [3, 7, 7]
    cfg.MVIT.PATCH_STRIDE = [2, 4, 4]
    cfg.MVIT.PATCH_PADDING = [2, 4, 4]
    cfg.MVIT.PATCH_2D = False
    # Use a class token, which is then classified.
    cfg.MVIT.CLS_EMBED_ON = True
    # Classify the mean of the other tokens instead, normalized after averaging.
    cfg.MVIT.USE_MEAN_POOLING = False
    # Learned absolute position embedding; SEP_POS_EMBED: separate in space and time;
    # USE_FIXED_SINCOS_POS: fixed sines and cosines.
    cfg.MVIT.USE_ABS_POS = True
    cfg.MVIT.SEP_POS_EMBED = False
    cfg.MVIT.USE_FIXED_SINCOS_POS = False
    # Learned relative position embeddings in space and in time, and their zero initialization.
    cfg.MVIT.REL_POS_SPATIAL = False
    cfg.MVIT.REL_POS_TEMPORAL = False
    cfg.MVIT.REL_POS_ZERO_INIT = False
    # No weight decay on class token and positions.
    cfg.MVIT.ZERO_DECAY_POS_CLS = True
    # Factors on channels and heads, as [block, factor]. DIM_MUL_IN_ATT: channels grow in that
    # block's attention instead of the previous block's MLP.
    cfg.MVIT.DIM_MUL = []
    cfg.MVIT.HEAD_MUL = []
    cfg.MVIT.DIM_MUL_IN_ATT = False
    # How queries, keys and values are pooled: "conv", "conv_unshared" (a kernel per head; needs
    # POOL_FIRST), "avg" or "max"; POOL_FIRST: before they are projected.
    cfg.MVIT.MODE = "conv"
    cfg.MVIT.POOL_FIRST = False
    # Strides of queries and of keys and values, as [block, time, height, width].
    cfg.MVIT.POOL_Q_STRIDE = []
    cfg.MVIT.POOL_KV_STRIDE = []
    # Instead of POOL_KV_STRIDE: the stride at the first block; later ones divide it by the strides
    # of the queries so far.
    cfg.MVIT.POOL_KV_STRIDE_ADAPTIVE = None
    # Kernel of all of them. None: one more than the stride where that is above 1.
    cfg.MVIT.POOL_KVQ_KERNEL = None
    # Add the pooled queries to what the attention returns.
    cfg.MVIT.RESIDUAL_POOLING = False
    # Three projections to queries, keys and values instead of one; whether they have a bias.
    cfg.MVIT.SEPARATE_QKV = False
    cfg.MVIT.QKV_BIAS = True
    # Only "layernorm"; NORM_STEM: also before the first block.
    cfg.MVIT.NORM = "layernorm"
    cfg.MVIT.NORM_STEM = False
    # Dropout after projections, and probability of dropping a residual branch of the last block.
    cfg.MVIT.DROPOUT_RATE = 0.0
    cfg.MVIT.DROPPATH_RATE = 0.1
    # Initial factor on residual branches, learned per channel (0: none), and factor on the initial
    # weights of the classifier's last layer.
    cfg.MVIT.LAYER_SCALE_INIT_VALUE = 0.0
    cfg.MVIT.HEAD_INIT_SCALE = 1.0


def _add_audio_vit(cfg: CfgNode) -> None:
    # The vision transformer for audio (AUDIO.ARCH audio_vit). Channels and heads of ViT-Ti: 192 and
    # 3; of ViT-S: 384 and 6.
    cfg.AUDIO_VIT = CfgNode()
    cfg.AUDIO_VIT.DEPTH = 12
    cfg.AUDIO_VIT.EMBED_DIM = 192
    cfg.AUDIO_VIT.NUM_HEADS = 3
    cfg.AUDIO_VIT.MLP_RATIO = 4.0
    # Size and stride of a patch, in mel bins and time frames.
    cfg.AUDIO_VIT.PATCH_KERNEL = [16, 16]
    cfg.AUDIO_VIT.PATCH_STRIDE = [16, 16]
    # "learned", or "sincos" for fixed sines and cosines.
    cfg.AUDIO_VIT.POSITIONS = "learned"
    # Dropout after projections, and probability of dropping a residual branch of the last block.
    cfg.AUDIO_VIT.DROPOUT_RATE = 0.0
    cfg.AUDIO_VIT.DROPPATH_RATE = 0.0
