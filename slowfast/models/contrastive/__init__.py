"""Parts that contrastive methods share; a method holds them as submodules.

    EmaEncoder           ema.py           a momentum copy of an encoder (MoCo, BYOL)
    FeatureQueue         feature_queue.py the last K keys (MoCo, SwAV)
    MemoryBank           memory_bank.py   one row per video (NPID, CMC, AVID)
    PartitionConstant    partition.py     the normalization of NCE (NPID, CMC, AVID)
    uniform_negatives    negatives.py     bank rows drawn as negatives
    sinkhorn             sinkhorn.py      codes with equal shares (SwAV)
    shuffle_rows         shuffle.py       the rows of all processes in another order (MoCo)

The losses are in ``models/losses``: ``info_nce``, ``nt_xent`` and ``nce_loss``. Batch norm with
statistics per part of a batch is ``BN.NORM_TYPE sub_batchnorm``. All state is in buffers that are
equal on all processes: it is drawn from a seed and changed by gathered values. None of these parts
reads the configuration.
"""
