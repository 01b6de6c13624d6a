"""Jobs: machines and processes, training, testing and output."""

from fvcore.common.config import CfgNode


def add_config(cfg: CfgNode) -> None:
    """Add the top-level keys and DEVICE, DIST, TRAIN, TEST, PROBE, TENSORBOARD, REPORT.

    Args:
        cfg: The tree to add to.
    """
    _add_top_level(cfg)
    _add_device(cfg)
    _add_dist(cfg)
    _add_train(cfg)
    _add_test(cfg)
    _add_probe(cfg)
    _add_tensorboard(cfg)
    _add_report(cfg)


def _add_top_level(cfg: CfgNode) -> None:
    # Projects to import before anything else, by package name: importing one registers its
    # components and adds its config sections.
    cfg.PROJECTS = []
    # Folders with projects that are not installed. In a YAML they are relative to its folder, on
    # the command line to the working directory.
    cfg.PROJECTS_PATH = []
    # Label of the job; a prefix of the names of checkpoint files if not empty.
    cfg.TASK = ""
    # Processes of this machine, one per GPU. 0: CPU; -1: every visible GPU, or the CPU if there is
    # none. 1 falls back to the CPU when there is no GPU.
    cfg.NUM_GPUS = 1
    # Processes on the CPU when NUM_GPUS is 0: more than one trains data-parallel over gloo.
    cfg.NUM_CPU_PROCESSES = 1
    # Machines that take part in the job.
    cfg.NUM_SHARDS = 1
    # Rank of this machine, 0 to NUM_SHARDS - 1.
    cfg.SHARD_ID = 0
    # Folder for all output of the job: checkpoints, logs, results.
    cfg.OUTPUT_DIR = "."
    # Seed of all random numbers. The same seed gives the same run.
    cfg.RNG_SEED = 1
    # Iterations between two log lines.
    cfg.LOG_PERIOD = 10
    # Log the components of the model and their parameters at the start.
    cfg.LOG_MODEL_INFO = True
    # Backend of torch.distributed on GPUs; the CPU always uses gloo.
    cfg.DIST_BACKEND = "nccl"
    # Threads that torch may use in a training process. 0: torch's own choice for one process, an
    # equal share of the cores for several.
    cfg.NUM_THREADS = 0


def _add_device(cfg: CfgNode) -> None:
    cfg.DEVICE = CfgNode()
    # Measure the algorithms of each convolution at its first call and keep the fastest (cuDNN).
    # The first steps take longer; which algorithm wins may change the last digits of a result.
    cfg.DEVICE.CUDNN_BENCHMARK = True
    # Compute float32 convolutions and matrix products in TF32 on GPUs that have it (NVIDIA Ampere
    # and newer): several times faster, with 10 instead of 23 bits of precision of the factors.
    cfg.DEVICE.TF32 = True
    # Let torch choose fused attention kernels (FlashAttention, memory-efficient, cuDNN) on a GPU.
    # False: plain matrix products, to compare with.
    cfg.DEVICE.FUSED_ATTENTION = True
    # Compile model and loss with torch.compile in training, on any device (with
    # SOLVER.GRAD_CACHE_CHUNK the model alone). The first step takes minutes, as does the first one
    # of another input size; the CPU gains little.
    cfg.DEVICE.COMPILE = False


def _add_dist(cfg: CfgNode) -> None:
    cfg.DIST = CfgNode()
    # Seconds that the processes of a job wait for one of them: to come, for a sign of life, or in a
    # collective. Then they end with a message that names it. At least 5.
    cfg.DIST.TIMEOUT_SEC = 1800.0


def _add_train(cfg: CfgNode) -> None:
    cfg.TRAIN = CfgNode()
    # Train the model.
    cfg.TRAIN.ENABLE = True
    # Dataset to train on, a name in DATASET_REGISTRY (upper and lower case are the same).
    cfg.TRAIN.DATASET = "kinetics"
    # Samples per iteration over all processes of ONE machine.
    cfg.TRAIN.BATCH_SIZE = 64
    # Epochs between two evaluations on the validation split; the last epoch is always evaluated.
    cfg.TRAIN.EVAL_PERIOD = 10
    # Epochs between two checkpoints; the last epoch is always saved.
    cfg.TRAIN.CHECKPOINT_PERIOD = 10
    # Optimizer steps between two checkpoints within epochs. 0: none.
    cfg.TRAIN.CHECKPOINT_PERIOD_ITERS = 0
    # Minutes between two checkpoints within epochs, so that a killed run loses no more. 0: none.
    # All checkpoints are written while training continues.
    cfg.TRAIN.CHECKPOINT_PERIOD_MIN = 15.0
    # Newest checkpoints to keep, of those after an epoch. 0: all. Of those within an epoch, only
    # the two newest checkpoints of the run are kept.
    cfg.TRAIN.CHECKPOINT_KEEP_LAST = 0
    # With CHECKPOINT_KEEP_LAST, also keep the checkpoint of every so many epochs. 0: none.
    cfg.TRAIN.CHECKPOINT_KEEP_EVERY = 0
    # Continue from the newest intact checkpoint in OUTPUT_DIR if there is one.
    cfg.TRAIN.AUTO_RESUME = True
    # Checkpoint to start from when nothing is resumed: a file, the OUTPUT_DIR of a run for its
    # newest one, a folder in Hugging Face's layout, zoo://NAME (see MODEL_ZOO.md), hf://ORG/NAME
    # or an http(s) URL. Empty or "random": random weights.
    cfg.TRAIN.CHECKPOINT_FILE_PATH = ""
    # Format of that checkpoint: "pytorch" selects the format that matches the most keys of the
    # model; or a name in CHECKPOINT_FORMAT_REGISTRY.
    cfg.TRAIN.CHECKPOINT_TYPE = "pytorch"
    # Inflate weights of an image network: each kernel repeated in time.
    cfg.TRAIN.CHECKPOINT_INFLATE = False
    # Start at epoch 0 with a fresh optimizer instead of taking both from the checkpoint.
    cfg.TRAIN.CHECKPOINT_EPOCH_RESET = False
    # The first occurrence of each pattern is removed from each key of the file, before keys are
    # converted.
    cfg.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN = []
    # Automatic mixed precision, in training and testing: True; False (float32); or "auto": bfloat16
    # where the hardware computes it fast (CPUs with AVX512_BF16 or AMX, GPUs from NVIDIA Ampere
    # on), else float32. The log names the dtype.
    cfg.TRAIN.MIXED_PRECISION = False
    # Dtype with MIXED_PRECISION True: "auto" (bfloat16 if the device computes it fast, else float16
    # on GPUs), "bf16" or "fp16".
    cfg.TRAIN.MIXED_PRECISION_DTYPE = "auto"
    # Stop with an error when the loss exceeds this multiple of its running median. 0: never.
    cfg.TRAIN.KILL_LOSS_EXPLOSION_FACTOR = 0.0
    # A step whose loss or gradient is not finite changes nothing (on a GPU, an optimizer that is
    # not fused steps with gradients of zero). skipped_steps.log lists its samples. More than this
    # many in a row, or all of an epoch, stop the run with an error, and the model is saved as
    # skipped_steps_state.pyth.
    cfg.TRAIN.MAX_SKIPPED_STEPS = 10
    # End the job after this many optimizer steps in all. 0: train MAX_EPOCH epochs.
    cfg.TRAIN.MAX_STEPS = 0
    # Also evaluate before the first step, so that results.json shows the effect of training.
    cfg.TRAIN.EVAL_BEFORE = False


def _add_test(cfg: CfgNode) -> None:
    cfg.TEST = CfgNode()
    # Test the model (after training, if that is on too).
    cfg.TEST.ENABLE = True
    # Dataset to test on.
    cfg.TEST.DATASET = "kinetics"
    # Videos per iteration over all processes of one machine.
    cfg.TEST.BATCH_SIZE = 8
    # Checkpoint to test: as TRAIN.CHECKPOINT_FILE_PATH. Empty: the newest in OUTPUT_DIR, else
    # TRAIN.CHECKPOINT_FILE_PATH. "random": the untrained model.
    cfg.TEST.CHECKPOINT_FILE_PATH = ""
    # As TRAIN.CHECKPOINT_TYPE.
    cfg.TEST.CHECKPOINT_TYPE = "pytorch"
    # Measure classification also if the head of the model is not in the checkpoint, but random.
    cfg.TEST.RANDOM_HEAD = False
    # Training keeps the checkpoint with the best validation as checkpoint_best.pyth, and it is
    # tested instead of the newest one. Needs a validation split and TRAIN.EVAL_PERIOD.
    cfg.TEST.BEST_CHECKPOINT = False
    # Metric of that validation, any that TEST.PROTOCOLS measure; higher is better. Empty: top1_acc,
    # or map with DATA.MULTI_LABEL.
    cfg.TEST.BEST_METRIC = ""
    # Clips of each video, at equal distances from its start to its end. -1: one test each with 1,
    # 3, 5, 7 and 10.
    cfg.TEST.NUM_ENSEMBLE_VIEWS = 10
    # Spatial crops of each clip: 1 (center) or 3 (along the longer side).
    cfg.TEST.NUM_SPATIAL_CROPS = 3
    # Shift and scale test clips, to measure how invariant a model is: they show a part of the frame
    # whose sides are 1 - SPATIAL_JITTER to 1 of the frame's, at a random position, the same in all
    # clips of a video. Training clips and the gallery stay as they are. 0: off.
    cfg.TEST.SPATIAL_JITTER = 0.0
    # Views of one video that are batched together; fewer need less memory in the loader.
    cfg.TEST.VIEWS_PER_CHUNK = 6
    # What to measure: classification, class_retrieval, knn, linear_probe, few_shot, linear_svm,
    # cross_modal_retrieval, av_sync, baselines, or any name in PROTOCOL_REGISTRY. Methods that do
    # not classify replace this default by their own, such as knn.
    cfg.TEST.PROTOCOLS = ["classification"]
    # Also save scores and labels to this file, relative to OUTPUT_DIR. The suffix is the format:
    # .npz, .csv, or .pkl as PySlowFast writes it (docs/results.md).
    cfg.TEST.SAVE_RESULTS_PATH = ""
    # Numbers of clips of each video to test with, instead of NUM_ENSEMBLE_VIEWS: one test each. Of
    # several, metric names end in _N_views.
    cfg.TEST.NUM_TEMPORAL_CLIPS = []


def _add_probe(cfg: CfgNode) -> None:
    cfg.PROBE = CfgNode()
    # Features that the protocols on frozen features evaluate: "video" or "audio" (pooled, before
    # any projection head).
    cfg.PROBE.FEATURE = "video"
    # Ranks k of recall@k in retrieval; those above the gallery's size are skipped.
    cfg.PROBE.RANKS = [1, 5, 10, 20, 50]
    # Neighbors that vote in knn (at most the gallery's size), and the temperature of their votes: a
    # neighbor of similarity s has weight exp(s / temperature).
    cfg.PROBE.KNN_K = 200
    cfg.PROBE.KNN_TEMPERATURE = 0.07
    # L2 weight decays of linear_probe and baselines, and costs C of linear_svm, to choose from by
    # cross-validation within the train split, never on the test split.
    cfg.PROBE.WEIGHT_DECAY_GRID = [1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
    cfg.PROBE.SVM_COSTS = [0.001, 0.01, 0.1, 1.0, 10.0]
    # Folds of that cross-validation.
    cfg.PROBE.VALIDATION_FOLDS = 5
    # Labeled videos per class (shots) of few_shot, and the number of random samples of them.
    cfg.PROBE.FEW_SHOT_K = [1, 5, 10, 20]
    cfg.PROBE.FEW_SHOT_EPISODES = 5
    # Offset of the misaligned audio of the protocol av_sync, in seconds.
    cfg.PROBE.SYNC_OFFSET_SEC = 1.0


def _add_tensorboard(cfg: CfgNode) -> None:
    cfg.TENSORBOARD = CfgNode()
    # Write TensorBoard events: scalars of training, tests and REPORT.INSIGHT, and vectors with
    # thumbnails for the embedding projector.
    cfg.TENSORBOARD.ENABLE = False
    # Folder of the events in OUTPUT_DIR; empty: runs-<TRAIN.DATASET>.
    cfg.TENSORBOARD.LOG_DIR = ""
    # Names of the classes for predictions.csv: a json of name -> label, as in PySlowFast, or one
    # name per line. Empty: the names of the training data, which checkpoints hold.
    cfg.TENSORBOARD.CLASS_NAMES_PATH = ""
    cfg.TENSORBOARD.CONFUSION_MATRIX = CfgNode()
    # Plot the confusion matrix of a test of a classifier (matplotlib).
    cfg.TENSORBOARD.CONFUSION_MATRIX.ENABLE = False
    # Width and height of the plot, in inches.
    cfg.TENSORBOARD.CONFUSION_MATRIX.FIGSIZE = [8, 8]
    cfg.TENSORBOARD.MODEL_VIS = CfgNode()
    # Write images and histograms, as the keys below select them.
    cfg.TENSORBOARD.MODEL_VIS.ENABLE = False
    # Histograms of weights and gradients at the end of each epoch.
    cfg.TENSORBOARD.MODEL_VIS.MODEL_WEIGHTS = False
    # Example clips of the test split, with feature crops, spectrogram and attention (REPORT).
    cfg.TENSORBOARD.MODEL_VIS.INPUT_VIDEO = False
    cfg.TENSORBOARD.MODEL_VIS.GRAD_CAM = CfgNode()
    # Grad-CAM of right and wrong predictions of a classifier (REPORT).
    cfg.TENSORBOARD.MODEL_VIS.GRAD_CAM.ENABLE = True


def _add_report(cfg: CfgNode) -> None:
    cfg.REPORT = CfgNode()
    # Write report.html, a page about the run, at its end (docs/report.md). Needs Jinja2: pip
    # install 'slowfast-stica[report]'.
    cfg.REPORT.ENABLE = True
    # After a test, look into the model and write OUTPUT_DIR/insight: alignment, uniformity and
    # effective rank, nearest neighbors, an embedding map, example clips with feature crops and
    # attention, Grad-CAM of classifiers (docs/insight.md).
    cfg.REPORT.INSIGHT = True
    # Videos of the test split that the embedding map and the neighbors show; of more, a sample.
    cfg.REPORT.MAX_VIDEOS = 3000
    # Queries of each gallery of neighbors, example clips, and clips of right and of wrong
    # predictions with Grad-CAM.
    cfg.REPORT.EXAMPLES = 4
    # Embedding map: pca, or tsne (scikit-learn; of at most 2000 videos).
    cfg.REPORT.MAP = "pca"
