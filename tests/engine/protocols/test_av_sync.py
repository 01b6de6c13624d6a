"""Alignment: the true audio against a later piece of it."""

import dataclasses

import pytest
import torch
from helpers.probes import Given, blob_tables, make_table, probe_cfg

from slowfast.config import UserError
from slowfast.engine.protocols.av_sync import av_sync
from slowfast.engine.protocols.build import Result


def similar(values, valid=None):
    return make_table({"similarity": torch.tensor(values)[:, None]}, [-1] * len(values), valid)


# A file that is damaged where the later audio would be was read only once.
READ_ONCE = dataclasses.replace(similar([0.5, 0.7]), index=torch.tensor([0, 2]))


@pytest.mark.parametrize(
    ("true", "later", "share", "count"),
    [
        (similar([0.9, 0.2, 0.5, 0.7]), similar([0.1, 0.3, 0.5, -1.0]), 2.5 / 4, 4),  # a tie
        (similar([0.9, 0.2, 0.0], [1, 1, 0]), similar([0.1, 0.3, 0.0], [1, 0, 0]), 1.0, 1),
        (similar([0.9, 0.2, 0.6]), READ_ONCE, 0.5, 2),
    ],
)
def test_wins_are_counted_of_videos_with_both_audio_clips(true, later, share, count):
    results = av_sync(Given(true, later=later), probe_cfg())
    assert results == {"av_sync": Result(share, 0.5, count=count)}


def test_the_shift_is_asked_for():
    asked = []

    class Asked(Given):
        def features(self, split, *, audio_offset_sec=0.0):
            asked.append((split, audio_offset_sec))
            return super().features(split, audio_offset_sec=audio_offset_sec)

    av_sync(Asked(similar([0.1]), later=similar([0.2])), probe_cfg(SYNC_OFFSET_SEC=0.25))
    assert asked == [("test", 0.0), ("test", 0.25)]


def test_what_it_needs():
    with pytest.raises(UserError, match="joint embedding space"):
        av_sync(Given(*blob_tables()), probe_cfg())
    silent = similar([0.0], valid=[False])
    with pytest.raises(UserError, match="a test video with audio"):
        av_sync(Given(silent, later=silent), probe_cfg())
