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


def test_wins_and_ties():
    given = Given(similar([0.9, 0.2, 0.5, 0.7]), later=similar([0.1, 0.3, 0.5, -1.0]))
    assert av_sync(given, probe_cfg()) == {"av_sync": Result(2.5 / 4, 0.5, count=4)}


def test_videos_without_sound_do_not_count():
    true = similar([0.9, 0.2, 0.0], valid=[True, True, False])
    later = similar([0.1, 0.3, 0.0], valid=[True, False, False])
    assert av_sync(Given(true, later=later), probe_cfg())["av_sync"] == Result(1.0, 0.5, count=1)


def test_a_video_that_was_read_only_once_does_not_count():
    """Its file is damaged where the later audio would be."""
    true, later = similar([0.9, 0.2, 0.6]), similar([0.5, 0.7])
    later = dataclasses.replace(later, index=torch.tensor([0, 2]))
    assert av_sync(Given(true, later=later), probe_cfg())["av_sync"] == Result(0.5, 0.5, count=2)


def test_the_shift_is_asked_for():
    asked = []

    class Asked(Given):
        def features(self, split, *, sound_shift_sec=0.0):
            asked.append((split, sound_shift_sec))
            return super().features(split, sound_shift_sec=sound_shift_sec)

    av_sync(Asked(similar([0.1]), later=similar([0.2])), probe_cfg(SYNC_OFFSET_SEC=0.25))
    assert asked == [("test", 0.0), ("test", 0.25)]


def test_what_it_needs():
    with pytest.raises(UserError, match="embeddings in one space"):
        av_sync(Given(*blob_tables()), probe_cfg())
    silent = similar([0.0], valid=[False])
    with pytest.raises(UserError, match="a test video with audio"):
        av_sync(Given(silent, later=silent), probe_cfg())
