"""Components of contrastive methods, used as submodules.

    EmaEncoder           ema.py           a momentum copy of an encoder
    FeatureQueue         feature_queue.py the last K keys
    MemoryBank           memory_bank.py   one row per video
    PartitionConstant    partition.py     the normalization of NCE
    uniform_negatives    negatives.py     bank rows sampled as negatives
    sinkhorn             sinkhorn.py      balanced assignments to prototypes
    shuffle_rows         shuffle.py       shuffled rows of all processes

The losses are in ``models/losses``: ``info_nce``, ``nt_xent`` and ``nce_loss``. Batch norm with
statistics per split of a batch is ``BN.NORM_TYPE sub_batchnorm``. All state is in buffers that are
equal on all processes: it is initialized from a seed and updated by gathered values. None of these
components reads the configuration.
"""

from typing import TYPE_CHECKING

from slowfast.pyslowfast_names import names_of

if not TYPE_CHECKING:
    __getattr__ = names_of(__name__)
