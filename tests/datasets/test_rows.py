"""Which row a sample belongs to."""

import pytest

from slowfast.datasets.annotations.manifest import Manifest, VideoRecord
from slowfast.datasets.base import EvalDataset, TrainDataset

MANIFEST = Manifest.from_rows(
    [VideoRecord("a.mp4"), VideoRecord("b.tar", offset=512, size=9), VideoRecord("c.mp4")], []
)


def test_a_training_file_is_visited_again_after_all_others():
    rows = TrainDataset(MANIFEST, seed=0, clips_per_video=2)
    assert len(rows) == 6
    assert [rows.row(i) for i in range(6)] == [0, 1, 2, 0, 1, 2]
    assert [rows.path(i) for i in (0, 4)] == ["a.mp4", "b.tar:512+9"]


def test_the_views_of_a_test_file_follow_each_other():
    options = {"num_clips": 4, "views_per_clip": 3, "views_per_chunk": 7}
    rows = EvalDataset(MANIFEST, seed=0, **options)
    assert rows.chunks_per_video == 2
    assert len(rows) == 6
    assert [rows.row(i) for i in range(6)] == [0, 0, 1, 1, 2, 2]
    assert [list(rows.clips(i)) for i in range(2, 4)] == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("clips", "crops", "most", "chunks"), [(10, 3, 6, 5), (10, 1, 7, 2), (7, 1, 3, 7), (3, 5, 1, 3)]
)
def test_chunks_are_equal_and_no_larger_than_asked(clips, crops, most, chunks):
    rows = EvalDataset(
        MANIFEST, seed=0, num_clips=clips, views_per_clip=crops, views_per_chunk=most
    )
    assert rows.chunks_per_video == chunks
    assert [n for i in range(chunks) for n in rows.clips(i)] == list(range(clips))
