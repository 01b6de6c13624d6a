"""Optimizer, learning rate and multigrid schedule."""

from fvcore.common.config import CfgNode


def add_config(cfg: CfgNode) -> None:
    """Add SOLVER and MULTIGRID.

    Args:
        cfg: The tree to add to.
    """
    _add_solver(cfg)
    _add_multigrid(cfg)


def _add_solver(cfg: CfgNode) -> None:
    cfg.SOLVER = CfgNode()
    # "sgd", "adam" or "adamw".
    cfg.SOLVER.OPTIMIZING_METHOD = "sgd"
    # Learning rate. Absolute, unless BASE_BATCH_SIZE is set.
    cfg.SOLVER.BASE_LR = 0.1
    # If set, the learning rates are for this global batch and scale linearly with the actual one
    # (all processes, all machines, all accumulated steps). 0: off.
    cfg.SOLVER.BASE_BATCH_SIZE = 0
    # Multiply BASE_LR, WARMUP_START_LR and COSINE_END_LR by the number of machines: NUM_SHARDS, or
    # what torchrun or SLURM started.
    cfg.SOLVER.BASE_LR_SCALE_NUM_SHARDS = False
    # "cosine", "steps_with_relative_lrs" or "constant"; a function of the fractional epoch, applied
    # at every iteration.
    cfg.SOLVER.LR_POLICY = "cosine"
    # Learning rate at the end of the cosine.
    cfg.SOLVER.COSINE_END_LR = 0.0
    # Let the cosine start where the warm-up ends.
    cfg.SOLVER.COSINE_AFTER_WARMUP = False
    # First epoch of each step, beginning with 0, and its learning rate relative to BASE_LR. LRS may
    # be longer than STEPS; what has no step is not used.
    cfg.SOLVER.STEPS = []
    cfg.SOLVER.LRS = []
    # Epochs to train.
    cfg.SOLVER.MAX_EPOCH = 300
    # Epochs of linear warm-up from WARMUP_START_LR.
    cfg.SOLVER.WARMUP_EPOCHS = 0.0
    cfg.SOLVER.WARMUP_START_LR = 0.01
    # Use torch's fused optimizer: one kernel for each parameter on the CPU (half to a third of the
    # time), one for all on a GPU. Results differ by rounding only. LARS and SGD with DAMPENING have
    # none.
    cfg.SOLVER.FUSED = True
    # For SGD.
    cfg.SOLVER.MOMENTUM = 0.9
    cfg.SOLVER.DAMPENING = 0.0
    cfg.SOLVER.NESTEROV = True
    # For Adam.
    cfg.SOLVER.BETAS = [0.9, 0.999]
    # Weight decay; BN.WEIGHT_DECAY for batch norm.
    cfg.SOLVER.WEIGHT_DECAY = 1e-4
    # No weight decay on biases and other one-dimensional parameters.
    cfg.SOLVER.ZERO_WD_1D_PARAM = False
    # Clip the gradient by value or by its global L2 norm. None or 0: off.
    cfg.SOLVER.CLIP_GRAD_VAL = None
    cfg.SOLVER.CLIP_GRAD_L2NORM = None
    # Layer-wise adaptive rate scaling (LARS) for SGD.
    cfg.SOLVER.LARS_ON = False
    # Layer-wise decay of the learning rate from the last layer to the first. 1: none.
    cfg.SOLVER.LAYER_DECAY = 1.0
    # Learning rates of the backbone and of the pooling relative to the head's, for fine-tuning.
    cfg.SOLVER.BACKBONE_LR_FACTOR = 1.0
    cfg.SOLVER.POOLING_LR_FACTOR = 1.0
    # Batches whose gradients are added up before one optimizer step. A contrastive loss still
    # sees the negatives of one batch only.
    cfg.SOLVER.ACCUMULATE_STEPS = 1
    # Samples of a process that are in memory at once. The loss still covers the full batch: each
    # chunk is embedded twice (gradient caching). Batch norm normalizes each chunk. 0: off.
    cfg.SOLVER.GRAD_CACHE_CHUNK = 0
    # Weight of each class in the loss, MODEL.NUM_CLASSES numbers; losses are multiplied by the
    # weight of the label and not scaled otherwise. With "bce" and "bce_logit" the weights of
    # positives (pos_weight of PyTorch). Empty: all 1.
    cfg.SOLVER.CLASS_WEIGHTS = []
    # Compute these weights from the training labels. One label per video: N / (classes x videos of
    # the class), with the mean weight of a video 1; DATA.MULTI_LABEL: negatives / positives.
    cfg.SOLVER.BALANCED_CLASS_WEIGHTS = False
    # Factor on the learning rate at each of STEPS under MULTIGRID.LONG_CYCLE, which replaces LRS.
    cfg.SOLVER.GAMMA = 0.1


def _add_multigrid(cfg: CfgNode) -> None:
    cfg.MULTIGRID = CfgNode()
    # Train in stages of larger batches of shorter, smaller clips (arXiv 1912.00998), the long
    # cycle: each step of SOLVER.STEPS goes through LONG_CYCLE_FACTORS. See docs/multigrid.md.
    cfg.MULTIGRID.LONG_CYCLE = False
    # Factors on DATA.NUM_FRAMES and DATA.TRAIN_CROP_SIZE of each stage. The batch grows by what a
    # clip shrinks, and so does the learning rate.
    cfg.MULTIGRID.LONG_CYCLE_FACTORS = [[0.25, 0.5**0.5], [0.5, 0.5**0.5], [0.5, 1], [1, 1]]
    # Consecutive steps have clips of different size, the short cycle: SHORT_CYCLE_FACTORS times
    # DATA.TRAIN_CROP_SIZE, then the crop of the stage. The learning rate is the same for all.
    cfg.MULTIGRID.SHORT_CYCLE = False
    cfg.MULTIGRID.SHORT_CYCLE_FACTORS = [0.5, 0.5**0.5]
    # Factor on SOLVER.MAX_EPOCH and SOLVER.STEPS in either cycle.
    cfg.MULTIGRID.EPOCH_FACTOR = 1.5
    # Samples per batch norm statistics in the long cycle, which replaces BN.NORM_TYPE. Larger
    # batches of a process are split; below it batch norm is synchronized over all processes.
    cfg.MULTIGRID.BN_BASE_SIZE = 8
    # Evaluations and checkpoints per stage of the long cycle, in place of TRAIN.EVAL_PERIOD and
    # TRAIN.CHECKPOINT_PERIOD. The last epoch of a stage always has both.
    cfg.MULTIGRID.EVAL_FREQ = 3
    # Set by the run: highest DATA.SAMPLING_RATE of a stage with fewer frames, whose clips have a
    # random one. Leave it at 0.
    cfg.MULTIGRID.LONG_CYCLE_SAMPLING_RATE = 0
    # Set by the run: TRAIN.BATCH_SIZE, DATA.NUM_FRAMES and DATA.TRAIN_CROP_SIZE. Leave them at 0.
    cfg.MULTIGRID.DEFAULT_B = 0
    cfg.MULTIGRID.DEFAULT_T = 0
    cfg.MULTIGRID.DEFAULT_S = 0
