"""From files to batches on the device.

A batch passes six places, in this order:

1. ``annotations``: what there is, the path, label and window of each sample, in one manifest.
2. ``decoding``: from a file to uint8 frames and a waveform, cut at the same instants.
3. ``views``: the clips, crops and augmentations of a training sample, still uint8.
4. ``collate``: samples are stacked into a batch, bad files are reported.
5. ``preprocess``: on the device, to normalized floats and log-mel spectrograms.
6. the method, ``slowfast.models.method``.

``video_dataset`` and ``audio_dataset`` do 1 to 3 for one sample; ``catalog`` has the datasets by
name; ``loader`` runs them in workers; ``fault_tolerant`` replaces what cannot be decoded.
"""

from typing import TYPE_CHECKING

from slowfast.pyslowfast_names import names_of

if not TYPE_CHECKING:
    __getattr__ = names_of(__name__)
