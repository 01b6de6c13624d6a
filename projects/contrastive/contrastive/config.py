"""The configuration sections of the methods; cheap to import (no torch)."""

from __future__ import annotations

from fvcore.common.config import CfgNode

__all__ = ["LOSSES", "METHODS", "PROTOCOLS", "RELEASED", "add_config"]

RELEASED = "released"
"""Value of COMPAT: the behavior of the published code, including its defects."""

METHODS = {
    "SimCLR": "SIMCLR",
    "NPID": "NPID",
    "CMC": "CMC",
    "AVID": "AVID",
    "MoCo": "MOCO",
    "SwAV": "SWAV",
    "GDT": "GDT",
    "MMV": "MMV",
    "ContrastiveModel": "CONTRASTIVE",
}
"""MODEL.MODEL_NAME -> section."""

PROTOCOLS = ("class_retrieval", "knn")
"""Default of TEST.PROTOCOLS: the methods do not classify."""

LOSSES = {name: section.lower() for name, section in METHODS.items()}
LOSSES["ContrastiveModel"] = "contrastive_loss"
"""MODEL.MODEL_NAME -> MODEL.LOSS_FUNC."""

_INFINITE = float("inf")


def add_config(cfg: CfgNode) -> None:
    """Add one section per method.

    Args:
        cfg: The tree to add to.
    """
    _add_simclr(cfg)
    _add_npid(cfg)
    _add_cmc(cfg)
    _add_avid(cfg)
    _add_moco(cfg)
    _add_swav(cfg)
    _add_gdt(cfg)
    _add_mmv(cfg)
    _add_contrastive(cfg)


def _add_simclr(cfg: CfgNode) -> None:
    # SimCLR: two views of a clip (DATA.TRAIN_CROP_NUM_SPATIAL 2), or of two clips
    # (DATA.TRAIN_CROP_NUM_TEMPORAL 2). With a small batch 0.1 to 0.5 are worth trying.
    cfg.SIMCLR = CfgNode()
    # Temperature of the softmax.
    cfg.SIMCLR.TEMPERATURE = 0.1
    # Dimensions of the embedding.
    cfg.SIMCLR.DIM = 128
    # Linear layers of the projection head. Paper: 2; published code: 3.
    cfg.SIMCLR.HEAD_LAYERS = 2
    # Hidden width of the projection head; 0: that of the pooled features.
    cfg.SIMCLR.HEAD_DIM = 0
    # Batch norm after the hidden layers of the head.
    cfg.SIMCLR.HEAD_BN = True
    # "released": twice the paper's loss and gradient, as the published code.
    cfg.SIMCLR.COMPAT = ""


def _add_npid(cfg: CfgNode) -> None:
    # NPID: each video is told from all others, by a memory bank with one row per training video.
    cfg.NPID = CfgNode()
    # Temperature of the comparison. Published: 0.07.
    cfg.NPID.TEMPERATURE = 0.1
    # Dimensions of the embedding, and of a row of the bank.
    cfg.NPID.DIM = 128
    # Linear layers of the projection head. Published: 1.
    cfg.NPID.HEAD_LAYERS = 1
    # Hidden width of the projection head; 0: that of the pooled features.
    cfg.NPID.HEAD_DIM = 0
    # Batch norm after the hidden layers of the head.
    cfg.NPID.HEAD_BN = False
    # "softmax", or "nce": noise-contrastive estimation, as published.
    cfg.NPID.LOSS = "softmax"
    # Rows of the bank sampled as negatives; 0: all others, up to about 65536 videos. Published:
    # 4096.
    cfg.NPID.NUM_NEGATIVES = 0
    # Share of a row that stays when the bank is updated.
    cfg.NPID.BANK_MOMENTUM = 0.5
    # Decay of the moving average of NCE's constant; 1.0: that of the first batch.
    cfg.NPID.PARTITION_DECAY = 0.99
    # "released": the video's own row may be among its negatives, and NCE's constant is that of the
    # first batch.
    cfg.NPID.COMPAT = ""


def _add_cmc(cfg: CfgNode) -> None:
    # CMC: two views of a clip with an encoder and a memory bank each.
    cfg.CMC = CfgNode()
    # "lab": luminance and color of the same frames; "audio": video and audio.
    cfg.CMC.VIEWS = "lab"
    # Temperature of the comparison. Published: 0.07.
    cfg.CMC.TEMPERATURE = 0.1
    # Dimensions of the embeddings.
    cfg.CMC.DIM = 128
    # Linear layers of the projection heads. Published: 1.
    cfg.CMC.HEAD_LAYERS = 1
    # Hidden width of the heads; 0: that of the pooled features.
    cfg.CMC.HEAD_DIM = 0
    # Batch norm after the hidden layers of the heads.
    cfg.CMC.HEAD_BN = False
    # "softmax", or "nce": noise-contrastive estimation, as published.
    cfg.CMC.LOSS = "softmax"
    # Rows sampled as negatives; 0: all others. Published: 16384, in the README 4096.
    cfg.CMC.NUM_NEGATIVES = 4096
    # Share of a row that stays when a bank is updated.
    cfg.CMC.BANK_MOMENTUM = 0.5
    # Decay of the moving average of NCE's constants; 1.0: those of the first batch.
    cfg.CMC.PARTITION_DECAY = 0.99
    # "released": as for NPID.
    cfg.CMC.COMPAT = ""


def _add_avid(cfg: CfgNode) -> None:
    # AVID: video and audio with a memory bank each. Needs AUDIO.ENABLE True.
    cfg.AVID = CfgNode()
    # Weight of the comparison across modalities: a video with the audio bank, and the reverse.
    cfg.AVID.CROSS_WEIGHT = 1.0
    # Weight of the comparison within modalities. Published: 0.
    cfg.AVID.WITHIN_WEIGHT = 0.0
    # Temperature of the comparison. Published: 0.07.
    cfg.AVID.TEMPERATURE = 0.07
    # Dimensions of the embeddings.
    cfg.AVID.DIM = 128
    # Linear layers of the projection heads.
    cfg.AVID.HEAD_LAYERS = 3
    # Hidden width of the heads; 0: that of the pooled features. Published: 512.
    cfg.AVID.HEAD_DIM = 512
    # Batch norm after the hidden layers of the heads.
    cfg.AVID.HEAD_BN = False
    # "nce": noise-contrastive estimation, as published, or "softmax".
    cfg.AVID.LOSS = "nce"
    # Rows sampled as negatives.
    cfg.AVID.NUM_NEGATIVES = 1024
    # Share of a row that stays when the banks of video and audio are updated.
    cfg.AVID.BANK_MOMENTUM = [0.5, 0.5]
    # Decay of the moving average of NCE's constant; 1.0: that of the first batch.
    cfg.AVID.PARTITION_DECAY = 0.99
    # "released": NCE's constant is that of the first batch, and with CMA the video's own row may
    # be among its negatives.
    cfg.AVID.COMPAT = ""
    # CMA: positives that are mined from AVID's banks, compared within each modality.
    cfg.CMA = CfgNode()
    # Mine positives in the course of the training.
    cfg.CMA.ENABLE = False
    # First epoch with mined positives, after AVID alone.
    cfg.CMA.START_EPOCH = 12
    # Epochs between two minings. Published: 5 of 20.
    cfg.CMA.EVERY_EPOCHS = 4
    # Mined positives of a video.
    cfg.CMA.NUM_POSITIVES = 32
    # Negatives of the comparison within a modality, at most AVID.NUM_NEGATIVES.
    cfg.CMA.NUM_NEGATIVES = 64
    # Two videos are similar if both modalities are ("consensus"), one of them is ("union"), or by
    # "video" or "audio" alone.
    cfg.CMA.AGREEMENT = "consensus"


def _add_moco(cfg: CfgNode) -> None:
    # MoCo: view 1 of a clip is the query, view 2 the key of a momentum encoder
    # (DATA.TRAIN_CROP_NUM_SPATIAL 2, or DATA.TRAIN_CROP_NUM_TEMPORAL 2). The loss rises at first,
    # while the queue is filled.
    cfg.MOCO = CfgNode()
    # Temperature of the softmax. Published: 0.07, version 2: 0.2.
    cfg.MOCO.TEMPERATURE = 0.2
    # Dimensions of the embedding.
    cfg.MOCO.DIM = 128
    # Linear layers of the projection head. Published: 1, version 2: 2.
    cfg.MOCO.HEAD_LAYERS = 2
    # Hidden width of the projection head; 0: that of the pooled features.
    cfg.MOCO.HEAD_DIM = 0
    # Batch norm after the hidden layers of the head.
    cfg.MOCO.HEAD_BN = False
    # Keys in the queue; at most half of the training videos. Published: 65536.
    cfg.MOCO.QUEUE_LEN = 65536
    # Momentum of the key encoder. It averages over about 1 / (1 - MOMENTUM) steps: 0.98 to 0.99 for
    # a thousand steps. Published: 0.999.
    cfg.MOCO.MOMENTUM = 0.999
    # "constant", or "cosine": from MOMENTUM to 1 over the training.
    cfg.MOCO.MOMENTUM_SCHEDULE = "constant"
    # Encode keys in an order that is shuffled over all processes, so that batch statistics do not
    # reveal the positive. On one process it needs BN.NORM_TYPE sub_batchnorm.
    cfg.MOCO.SHUFFLE_BN = True


def _add_swav(cfg: CfgNode) -> None:
    # SwAV: views predict each other's assignment to prototypes. DATA.TRAIN_VIEWS multi_crop adds
    # small crops of the frames to the full-size views (DATA.TRAIN_CROP_NUM_SPATIAL 2).
    cfg.SWAV = CfgNode()
    # Temperature of the prediction.
    cfg.SWAV.TEMPERATURE = 0.1
    # Dimensions of the embedding.
    cfg.SWAV.DIM = 128
    # Linear layers of the projection head.
    cfg.SWAV.HEAD_LAYERS = 2
    # Hidden width of the projection head; 0: that of the pooled features.
    cfg.SWAV.HEAD_DIM = 0
    # Batch norm after the hidden layers of the head.
    cfg.SWAV.HEAD_BN = True
    # Number of prototypes: several times the expected classes, and at most the samples of a batch
    # of all processes plus the queue. Published: 3000.
    cfg.SWAV.NUM_PROTOTYPES = 3000
    # Smoothness of the assignments; lower is harder. Published: 0.05, for long runs 0.03.
    cfg.SWAV.EPSILON = 0.05
    # Iterations of the Sinkhorn algorithm.
    cfg.SWAV.ITERATIONS = 3
    # Length of the queue of each assigned view, over all processes; 0: none. Published: 3840 for
    # small batches.
    cfg.SWAV.QUEUE_LEN = 0
    # Epoch from which the queue is filled; it is used as soon as it is full.
    cfg.SWAV.QUEUE_START_EPOCH = 15.0
    # Epochs in which the prototypes do not change.
    cfg.SWAV.FREEZE_EPOCHS = 1.0
    # Small views of DATA.TRAIN_VIEWS multi_crop.
    cfg.SWAV.NUM_SMALL = 4
    # Their height and width, in pixels.
    cfg.SWAV.SMALL_SIZE = 64
    # Their share of the area of the frames, [least, most].
    cfg.SWAV.SMALL_SCALES = [0.15, 0.4]


def _add_gdt(cfg: CfgNode) -> None:
    # GDT: video and audio, with time reversal and time shift. Needs AUDIO.ENABLE True, and
    # DATA.TRAIN_CROP_NUM_TEMPORAL 2 for the shift.
    cfg.GDT = CfgNode()
    # Time reversal: "none", "invariant" (a reversed clip is a positive) or "variant" (a negative).
    cfg.GDT.REVERSAL = "none"
    # Time shift, another clip of the video: "none", "invariant" or "variant".
    cfg.GDT.SHIFT = "none"
    # Temperature of the softmax.
    cfg.GDT.TEMPERATURE = 0.07
    # Dimensions of the embeddings.
    cfg.GDT.DIM = 256
    # Linear layers of the projection heads.
    cfg.GDT.HEAD_LAYERS = 2
    # Hidden width of the heads; 0: that of the pooled features.
    cfg.GDT.HEAD_DIM = 512
    # Batch norm after the hidden layers of the heads.
    cfg.GDT.HEAD_BN = True
    # "released": negatives of other processes are counted as often as in the published code.
    cfg.GDT.COMPAT = ""


def _add_mmv(cfg: CfgNode) -> None:
    # MMV: a fine space for video and audio and a coarse one for text. Needs AUDIO.ENABLE True.
    cfg.MMV = CfgNode()
    # Temperature of the softmax.
    cfg.MMV.TEMPERATURE = 0.07
    # Dimensions of the fine space.
    cfg.MMV.DIM = 512
    # Weight of the loss of video and text; 0: no text. Text is a column of token IDs of the csv:
    # DATA.ROW_FIELDS ['text'], padded by 0 to the same length.
    cfg.MMV.TEXT_WEIGHT = 0.0
    # Candidate texts of a video; a row has the tokens of all of them.
    cfg.MMV.NUM_TEXTS = 1
    # Token IDs are below it.
    cfg.MMV.VOCABULARY = 65536
    # Width of the text encoder. Published: 2048.
    cfg.MMV.TEXT_DIM = 2048
    # Dimensions of the coarse space.
    cfg.MMV.COARSE_DIM = 256
    # "released": positives are counted twice in the denominator, as in the published code.
    cfg.MMV.COMPAT = ""


def _add_contrastive(cfg: CfgNode) -> None:
    # PySlowFast's contrastive pretraining, MODEL.MODEL_NAME ContrastiveModel: all of its keys.
    cfg.CONTRASTIVE = CfgNode()
    # "moco", "byol", "simclr", "swav" or "mem" (a memory bank).
    cfg.CONTRASTIVE.TYPE = "mem"
    # Temperature.
    cfg.CONTRASTIVE.T = 0.07
    # Dimensions of the embedding.
    cfg.CONTRASTIVE.DIM = 128
    # Training videos. Not needed: the length of the data is used.
    cfg.CONTRASTIVE.LENGTH = 239975
    # Keys in the queue of MoCo; negatives sampled from the bank ("mem").
    cfg.CONTRASTIVE.QUEUE_LEN = 65536
    # Momentum of the key encoder; for "mem" the weight of the new embedding.
    cfg.CONTRASTIVE.MOMENTUM = 0.5
    # Increase the momentum to 1 along a cosine.
    cfg.CONTRASTIVE.MOMENTUM_ANNEALING = False
    # "1d". The bank with a time axis ("2d") crashes in PySlowFast.
    cfg.CONTRASTIVE.MEM_TYPE = "1d"
    # Of the bank with a time axis; not supported.
    cfg.CONTRASTIVE.INTERP_MEMORY = False
    # Classes of PySlowFast's kNN during training. Not needed: the protocol "knn" reads the labels.
    cfg.CONTRASTIVE.NUM_CLASSES_DOWNSTREAM = 400
    # kNN on the training data at each step. Not needed: TEST.PROTOCOLS has "knn".
    cfg.CONTRASTIVE.KNN_ON = True
    # Linear layers of the projection head.
    cfg.CONTRASTIVE.NUM_MLP_LAYERS = 1
    # Hidden width of the projection and prediction heads.
    cfg.CONTRASTIVE.MLP_DIM = 2048
    # Batch norm between the layers of the heads.
    cfg.CONTRASTIVE.BN_MLP = False
    # Synchronize that batch norm over all processes.
    cfg.CONTRASTIVE.BN_SYNC_MLP = False
    # Shuffle keys within a machine only. Not needed: they are shuffled over all processes.
    cfg.CONTRASTIVE.LOCAL_SHUFFLE_BN = True
    # Queue the keys of all clips of a video, not of one.
    cfg.CONTRASTIVE.MOCO_MULTI_VIEW_QUEUE = False
    # Range of the distance of two clips, in frames; use DATA.TRAIN_CLIP_DISTANCE_SEC.
    cfg.CONTRASTIVE.DELTA_CLIPS_MIN = -_INFINITE
    cfg.CONTRASTIVE.DELTA_CLIPS_MAX = _INFINITE
    # Linear layers of BYOL's prediction head, a list of one number.
    cfg.CONTRASTIVE.PREDICTOR_DEPTHS = []
    # All clips are queries; otherwise only the first ("moco").
    cfg.CONTRASTIVE.SEQUENTIAL = False
    # Compare with the clips of all processes ("simclr").
    cfg.CONTRASTIVE.SIMCLR_DIST_ON = True
    # Rows of SwAV's queue over all processes.
    cfg.CONTRASTIVE.SWAV_QEUE_LEN = 0
    # Prototypes of SwAV; fixed in PySlowFast, as the four keys below.
    cfg.CONTRASTIVE.SWAV_PROTOTYPES = 1000
    # Smoothness of SwAV's assignments.
    cfg.CONTRASTIVE.SWAV_EPSILON = 0.05
    # Iterations of the Sinkhorn algorithm.
    cfg.CONTRASTIVE.SWAV_ITERATIONS = 3
    # Epoch from which SwAV's queue is filled.
    cfg.CONTRASTIVE.SWAV_QUEUE_EPOCH = 15.0
    # Epochs in which SwAV's prototypes do not change.
    cfg.CONTRASTIVE.SWAV_FREEZE_EPOCHS = 1.0
    # Steps without an update of the weights, in which MoCo's queue is filled; -1: until it is full,
    # at most one epoch.
    cfg.CONTRASTIVE.MOCO_WARMUP_ITERS = -1
