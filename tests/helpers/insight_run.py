"""A folder of a run that was looked into, with names that must stay text."""

import json

import torch
from helpers.probes import CLASSES, ProbeModel, probes_cfg

from slowfast.engine.evaluator import evaluate_views
from slowfast.engine.insight.job import InsightJob
from slowfast.engine.precision import Precision

EVIL = "<script>alert(1)</script>"
CLASS_NAMES = [f"<b>{number}</b> & more" for number in range(CLASSES + 1)]
REGIONS = [
    {"name": "space_large_0", "extent": [[0.0, 1.0], [0.0, 0.75], [0.25, 1.0]]},
    {"name": "space_large_1", "extent": [[0.0, 0.5], [0.25, 1.0], [0.25, 1.0]]},
    {"name": "time_small_0", "extent": [[0.25, 0.75], [0.0, 1.0], [0.0, 1.0]]},
]


def looked_into(folder, *words):
    """Test the probes and look into the model; OUTPUT_DIR of the run."""
    words = ("TEST.PROTOCOLS", "['cross_modal_retrieval']", "TEST.VIEWS_PER_CHUNK", 9, *words)
    cfg = probes_cfg(folder, *words)
    insight, model = InsightJob(cfg), ProbeModel()
    for test in evaluate_views(cfg, model, Precision(torch.device("cpu")), watch=insight.watch):
        insight.write(test, model, CLASS_NAMES)
    (folder / "config.yaml").write_text(cfg.dump(), encoding="utf-8")
    return folder


def edit(folder, change):
    """Change the content of insight.json."""
    path = folder / "insight" / "insight.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def fill(content):
    """Give the run what only other models have: crops, attention, and predictions with Grad-CAM."""
    content["videos"]["name"][0] = f"test/{EVIL}.mp4"
    clip = content["clips"][0]
    clip |= {"regions": REGIONS, "regions_of": "feature map", "name": f"test/{EVIL}.mp4"}
    clip |= {"attention": [[0.2, 0.8], [0.5, 0.5]], "video_sec": 3.0, "audio_sec": 1.5}
    entry = {"row": 0, "label": 1, "predicted": 2, "score": 0.75, "name": f"test/{EVIL}.mp4"}
    files = {"frames": clip["frames"], "heat": clip["frames"]}
    content["predictions"] = [{**entry, **files, "is_right": False}]
