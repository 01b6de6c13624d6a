"""Data, loading, augmentation and audio."""

from fvcore.common.config import CfgNode


def add_config(cfg: CfgNode) -> None:
    """Add DATA, DATA_LOADER, DEMO_SET and AUDIO.

    Args:
        cfg: The tree to add to.
    """
    _add_data(cfg)
    _add_views(cfg)
    _add_loader(cfg)
    _add_demo_set(cfg)
    _add_audio(cfg)


def _add_data(cfg: CfgNode) -> None:
    cfg.DATA = CfgNode()
    # Folder with train.csv, val.csv, test.csv, or SPLIT/CLASS/file, or just videos.
    cfg.DATA.PATH_TO_DATA_DIR = ""
    # Joined in front of the relative paths of a csv or a frame list; the folder of the files that
    # official lists name. Empty: the data folder, or that of the frame list.
    cfg.DATA.PATH_PREFIX = ""
    # Separates path and label in a csv without a header: one character; a backslash and a t are
    # a tab.
    cfg.DATA.PATH_LABEL_SEPARATOR = " "
    # Lines to skip at the top of a csv.
    cfg.DATA.SKIP_ROWS = 0
    # Frame rate of folders of extracted frames (img_00001.jpg, ...), in Hz.
    cfg.DATA.FRAME_FOLDER_FPS = 30.0
    # Fraction of the files of a plain folder without splits that becomes the test split, selected
    # by a hash of their relative paths. A job that only classifies (TRAIN.ENABLE False,
    # TEST.PROTOCOLS ['classification']) tests on all of them.
    cfg.DATA.FOLDER_TEST_FRACTION = 0.1
    # Official fold to train and test on, from 1. UCF-101, HMDB-51: number of the split; ESC-50: the
    # test fold, with the others for training. 0: for datasets without folds.
    cfg.DATA.FOLD = 0
    # Folder of the official split files, or of the csv files. Empty: searched in
    # PATH_TO_DATA_DIR.
    cfg.DATA.PATH_TO_SPLIT_DIR = ""
    # Train on this many videos of each class, sampled with RNG_SEED. 0: on all of them.
    cfg.DATA.TRAIN_VIDEOS_PER_CLASS = 0
    # Sample the training videos of an epoch such that all classes are equally frequent: videos of
    # rare classes several times, as other random clips, and only some of those of frequent ones.
    cfg.DATA.BALANCED_SAMPLING = False
    # YAML of overrides for the built-in demo set, used when PATH_TO_DATA_DIR is empty.
    cfg.DATA.DEMO_CFG = ""
    # Frames of a clip.
    cfg.DATA.NUM_FRAMES = 8
    # Distance between two frames of a clip, in frames at TARGET_FPS.
    cfg.DATA.SAMPLING_RATE = 8
    # Frame rate that NUM_FRAMES and SAMPLING_RATE refer to, whatever that of the file, in Hz.
    cfg.DATA.TARGET_FPS = 30
    # Which frames a clip has. "time_bins": those at the centers of NUM_FRAMES time bins; test clips
    # reach from the very start to the very end. "pyslowfast": exactly PySlowFast's frames, and in
    # evaluation the scores of its convolutional heads: with MODEL.POOLING native, the mean of
    # HEAD_ACT over windows of the size of a map at TRAIN_CROP_SIZE. "segments": one frame from each
    # of NUM_FRAMES equal segments of the video, random in training, else the middle one. "auto":
    # segments for ssv2; for other datasets pyslowfast with weights in PySlowFast's format, with
    # those of a run of this framework as in that run, else time_bins. With "pyslowfast", ssv2 uses
    # segments, as there. Frames are counted at the file's average frame rate.
    cfg.DATA.SAMPLING = "auto"
    # With SAMPLING pyslowfast, the last test clip ends with the video, and a single one is in its
    # middle. With time_bins they always do.
    cfg.DATA.USE_OFFSET_SAMPLING = False
    # Frames are downscaled to this short side while they are decoded, in pixels; raised to what the
    # crops need: the largest of TRAIN_JITTER_SCALES, TEST_CROP_SIZE. 0: full size.
    cfg.DATA.DECODING_SHORT_SIZE = 256
    # In training, decode H.264 and HEVC without the in-loop filter: in frames that no other frame
    # refers to ("noref") or in all ("all": errors add up to the next keyframe). Measured on H.264
    # with B-frames at 340x256 and 1080p: "noref" has a mean error of 0.03 and 0.01 gray levels (25
    # and 13 at most) and takes 0.98 and 0.92 of the time to read; "all" 0.60 and 0.13 (33 and 27),
    # 0.94 and 0.89. "none": exact.
    cfg.DATA.SKIP_LOOP_FILTER = "none"
    # Mean and standard deviation of each color channel, in units of [0, 1].
    cfg.DATA.MEAN = [0.45, 0.45, 0.45]
    cfg.DATA.STD = [0.225, 0.225, 0.225]
    # Channels of the input, one entry per pathway.
    cfg.DATA.INPUT_CHANNEL_NUM = [3, 3]
    # Feed BGR instead of RGB (for weights that were trained on BGR).
    cfg.DATA.REVERSE_INPUT_CHANNEL = False
    # A video has a list of classes, see DATASET.md. Labels are multi-hot vectors of
    # MODEL.NUM_CLASSES, training uses MODEL.LOSS_FUNC "bce_logit" with MODEL.HEAD_ACT "sigmoid",
    # and mean average precision is measured instead of accuracy.
    cfg.DATA.MULTI_LABEL = False
    # How the class scores of the views of a video are combined: their "sum" (which is averaged), or
    # their maximum, "max".
    cfg.DATA.ENSEMBLE_METHOD = "sum"
    # The run stops if more than this fraction of the dataset's files cannot be decoded. Before
    # training, all files (of lists above 100,000 rows a sample) are looked up for up to 20 s, and
    # missing ones count at once. 1: however many.
    cfg.DATA.MAX_BAD_FRACTION = 0.05
    # If a training file cannot be decoded: "resample" (replace it by another file, sampled with the
    # seed, with its own label and index) or "raise" (stop at once). In evaluation a bad file is
    # skipped and counted.
    cfg.DATA.ON_DECODE_ERROR = "resample"
    # List of files that are left out of all splits: the quarantine.csv of "slowfast check", or any
    # csv with a column path. "auto": the lists of all folders that were checked on this machine.
    # "": no list, all files are read. A file that has changed since its check is read.
    cfg.DATA.QUARANTINE_FILE_PATH = "auto"
    # Timeout for decoding a file, in seconds; the file then counts as bad. A worker that is
    # stopped, or blocked outside of decoding, is replaced after the same time. 0: no timeout. Needs
    # data workers: NUM_WORKERS must not be 0.
    cfg.DATA.FILE_TIMEOUT_SEC = 60.0


def _add_views(cfg: CfgNode) -> None:
    # Side of the square crop in training, in pixels.
    cfg.DATA.TRAIN_CROP_SIZE = 224
    # Side of the square crop in testing, in pixels.
    cfg.DATA.TEST_CROP_SIZE = 256
    # Range of the short side that training clips are scaled to before cropping, in pixels. Used
    # when TRAIN_JITTER_SCALES_RELATIVE is empty.
    cfg.DATA.TRAIN_JITTER_SCALES = [256, 320]
    # Range of the area of a random resized crop, as a fraction of the frame. Empty: not used.
    cfg.DATA.TRAIN_JITTER_SCALES_RELATIVE = []
    # Range of the aspect ratio (width / height) of a random resized crop. Empty: [1, 1].
    cfg.DATA.TRAIN_JITTER_ASPECT_RELATIVE = []
    # Side of the test crop of an image of the dataset imagenet, as a fraction of its short side.
    cfg.DATA.IN_VAL_CROP_RATIO = 0.875
    # Flip horizontally with probability 0.5.
    cfg.DATA.RANDOM_FLIP = True
    # Clips sampled from each training video per epoch, each in a sample of its own.
    cfg.DATA.TRAIN_CLIPS_PER_VIDEO = 1
    # Columns of the csv that become entries of a batch, such as token IDs. A field has numbers
    # separated by spaces, the same count in each row.
    cfg.DATA.ROW_FIELDS = []
    # Content of a training sample, a name in the registry of views. "clips": random clips of a
    # video, each in several views and with its audio.
    cfg.DATA.TRAIN_VIEWS = "clips"
    # Clips of a training video in one sample, each with its own audio.
    cfg.DATA.TRAIN_CROP_NUM_TEMPORAL = 1
    # Range of the distance between the starts of two of these clips, in seconds. Empty: any.
    cfg.DATA.TRAIN_CLIP_DISTANCE_SEC = []
    # Views of each clip, augmented independently. Contrastive methods use two.
    cfg.DATA.TRAIN_CROP_NUM_SPATIAL = 1
    # Jitter brightness, contrast, saturation and hue.
    cfg.DATA.SSL_COLOR_JITTER = False
    # Largest relative change of brightness, contrast, saturation.
    cfg.DATA.SSL_COLOR_BRI_CON_SAT = [0.4, 0.4, 0.4]
    # Largest shift of hue, as a fraction of the color circle.
    cfg.DATA.SSL_COLOR_HUE = 0.1
    # Probability that a view is converted to grayscale.
    cfg.DATA.COLOR_RND_GRAYSCALE = 0.0
    # Jitter with SSL_JITTER_PROB and blur with SSL_BLUR_PROB (arXiv 2003.04297). Without it a view
    # is always jittered and never blurred.
    cfg.DATA.SSL_MOCOV2_AUG = False
    # Probability of color jitter under SSL_MOCOV2_AUG.
    cfg.DATA.SSL_JITTER_PROB = 0.8
    # Probability of Gaussian blur under SSL_MOCOV2_AUG.
    cfg.DATA.SSL_BLUR_PROB = 0.5
    # Range of the blur's sigma: [time, space], in frames and pixels. Blur in time is not supported.
    cfg.DATA.SSL_BLUR_SIGMA_MIN = [0.0, 0.1]
    cfg.DATA.SSL_BLUR_SIGMA_MAX = [0.0, 2.0]


def _add_loader(cfg: CfgNode) -> None:
    cfg.DATA_LOADER = CfgNode()
    # Worker processes per training process. -1: by the cores that the process may use (affinity,
    # quota of the container, divided by the processes of the machine): all but one of them on a
    # GPU, at most 16; half of them on the CPU, at most 8; at least 1. 0: load in the training
    # process itself. A worker uses one thread; samples do not depend on the number of workers.
    cfg.DATA_LOADER.NUM_WORKERS = -1
    # Copy batches to pinned memory (GPU only).
    cfg.DATA_LOADER.PIN_MEMORY = True
    # Batches that each worker loads in advance. More of them even out files that take long, not a
    # loader that is too slow; all of them are in shared memory.
    cfg.DATA_LOADER.PREFETCH_FACTOR = 2
    # Cache decoded files in $SLOWFAST_CACHE/decoded, else ~/.cache/slowfast/decoded: frames at
    # DECODING_SHORT_SIZE, audio at SAMPLE_RATE. For small datasets on few cores; samples do not
    # change. 30 frames of 112 x 150 pixels take 1.5 MB. Files of more than a minute are not cached.
    cfg.DATA_LOADER.CACHE_DECODED = False


def _add_demo_set(cfg: CfgNode) -> None:
    cfg.DEMO_SET = CfgNode()
    # Clips of each of the ten classes in the train and in the test split.
    cfg.DEMO_SET.NUM_TRAIN_PER_CLASS = 60
    cfg.DEMO_SET.NUM_TEST_PER_CLASS = 20
    # Seed of the generator.
    cfg.DEMO_SET.SEED = 0
    # Whether some classes differ only in the order of their two events.
    cfg.DEMO_SET.ORDER_CLASSES = True
    # Whether six classes form pairs with the same audio that differ only in video.
    cfg.DEMO_SET.SHARED_AUDIO_CLASSES = False
    # What varies from clip to clip independently of the class: position and size ("space"), tempo
    # ("time"), "color", "background", and grain, hiss and loudness ("noise"). []: nothing.
    cfg.DEMO_SET.VARIATION = ["space", "time", "color", "background", "noise"]
    # Audio events are synchronous with visual events.
    cfg.DEMO_SET.SYNC = True
    # Audio and video of a clip share an instance cue: tempo, and size as pitch.
    cfg.DEMO_SET.INSTANCE_CUE = True
    # Folder of the generated files. Empty: $SLOWFAST_CACHE, else ~/.cache/slowfast.
    cfg.DEMO_SET.CACHE_DIR = ""


def _add_audio(cfg: CfgNode) -> None:
    cfg.AUDIO = CfgNode()
    # Load the audio track.
    cfg.AUDIO.ENABLE = False
    # Backbone for spectrograms, a name in BACKBONE_REGISTRY.
    cfg.AUDIO.ARCH = "audio_resnet9"
    # Channels after the first convolution of the audio backbone; 64 is the published size.
    cfg.AUDIO.WIDTH = 64
    # Length of the audio of one clip, in seconds. It starts with the clip's first frame.
    cfg.AUDIO.CLIP_SEC = 1.0
    # In evaluation, offset of the audio relative to the video, in seconds; the track is looped. For
    # the protocol av_sync; 0 otherwise.
    cfg.AUDIO.EVAL_OFFSET_SEC = 0.0
    # Sample rate of the audio after resampling (mono), in Hz.
    cfg.AUDIO.SAMPLE_RATE = 24000
    # Mel bins of the spectrogram.
    cfg.AUDIO.NUM_MEL = 80
    # Length and hop of the analysis windows, in seconds.
    cfg.AUDIO.WINDOW_SEC = 0.02
    cfg.AUDIO.HOP_SEC = 0.01
    # Points of the Fourier transform. 0: enough that no mel bin is empty (1024 with PSF_COMPAT).
    cfg.AUDIO.FFT_SIZE = 0
    # Spectrograms equal to python_speech_features' logfbank, which older audio-visual code used:
    # int16 scale, pre-emphasis, rectangular window. That code used FFT_SIZE 1024 and NUM_MEL 257.
    cfg.AUDIO.PSF_COMPAT = False
    # Pre-emphasis coefficient of PSF_COMPAT.
    cfg.AUDIO.PREEMPHASIS = 0.97
    # Log-mel values are normalized as (x - MEAN) / STD.
    cfg.AUDIO.MEAN = 0.0
    cfg.AUDIO.STD = 1.0
    # The waveform of a training sample is multiplied by a factor from this range. [1, 1]: off.
    cfg.AUDIO.VOLUME_JITTER = [1.0, 1.0]
    cfg.AUDIO.SPECAUG = CfgNode()
    # Mask mel bins and time frames of training spectrograms.
    cfg.AUDIO.SPECAUG.ENABLE = False
    # Number of frequency masks and time masks.
    cfg.AUDIO.SPECAUG.NUM_FREQ = 1
    cfg.AUDIO.SPECAUG.NUM_TIME = 1
    # Largest mask, in mel bins and in time frames; the width is sampled below it.
    cfg.AUDIO.SPECAUG.FREQ_WIDTH = 2
    cfg.AUDIO.SPECAUG.TIME_WIDTH = 5
