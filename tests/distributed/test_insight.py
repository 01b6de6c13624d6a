"""Two gloo ranks find the same in a model as one."""

import pytest
import torch
from helpers.probes import ProbeModel, probes_cfg

from slowfast.engine.evaluator import evaluate_views
from slowfast.engine.insight.job import InsightJob
from slowfast.engine.precision import Precision

pytestmark = pytest.mark.distributed


def _look(folder, *words):
    words = ("TEST.PROTOCOLS", "['cross_modal_retrieval']", *words)
    cfg = probes_cfg(folder, *words)
    insight, model = InsightJob(cfg), ProbeModel()
    for test in evaluate_views(cfg, model, Precision(torch.device("cpu")), watch=insight.watch):
        insight.write(test, model, [])


@pytest.mark.parametrize(
    "words",
    [
        ("TEST.VIEWS_PER_CHUNK", 1, "TEST.BATCH_SIZE", 4),  # a video is on both ranks
        ("TEST.VIEWS_PER_CHUNK", 9, "REPORT.MAX_VIDEOS", 7),  # a sample
    ],
)
def test_as_one_process(two_ranks, tmp_path, words):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    _look(tmp_path / "one", *words)
    two_ranks.run(_look, tmp_path / "two", *words)
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / name / "insight").iterdir()}
        for name in ("one", "two")
    )
    assert one.keys() == two.keys()
    for name, content in one.items():
        assert two[name] == content, name
