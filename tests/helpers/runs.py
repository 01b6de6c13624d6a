"""Runs that were never run: an OUTPUT_DIR with the files of one, for the report."""

import json

import torch
from helpers.probes import make_table

from slowfast.config import get_cfg
from slowfast.engine.predictions import Predictions, write_reports

HOSTILE = "<script>alert(1)</script>.mp4"


def train_records(epochs=3, steps=10, *, wait=0.05, copy=0.1, second_loss=True, gpu_mem="0.00G"):
    """Records of a training as the recorder writes them."""
    records = []
    for step in range(1, epochs * steps + 1):
        epoch = f"{(step - 1) // steps + 1}/{epochs}"
        losses = {"loss": 3.0 / step} | ({"loss_space": 1.5 / step} if second_loss else {})
        common = {"epoch": epoch, "step": step, "lr": 0.1 / step, "grad_norm": 5.0, **losses}
        memory = {"gpu_mem": gpu_mem, "RAM": "2.00/23.00G", "RAM_peak": "0.61G"}
        timing = {"dt": 0.5, "dt_data": 0.5 * (wait + copy), "dt_net": 0.5 * (1 - wait - copy)}
        shares = {"share_wait": wait, "share_copy": copy}
        records.append(
            {
                "_type": "train_iter",
                "iter": f"{step}/{steps}",
                **common,
                **timing,
                **shares,
                **memory,
            }
        )
        if step % steps == 0:
            records.append({"_type": "train_epoch", **common, **memory})
            records.append(
                {"_type": "val_epoch", "epoch": epoch, "step": step, "top1_acc": 0.1 * step / steps}
            )
    return records


def write_stats(folder, records):
    """Write json_stats.log."""
    lines = [f"json_stats: {json.dumps(record)}\n" for record in records]
    (folder / "json_stats.log").write_text("".join(lines), encoding="utf-8")


def results():
    """results.json of a test of a classifier with one protocol on features."""

    def record(metric, column, value):
        ends = [value - 0.05, value + 0.05]
        return {
            "metric": metric,
            "protocol": "p",
            "column": column,
            "value": value,
            "interval": ends,
            "count": 200,
        }

    return {
        "format": 1,
        "class_retrieval_r1": {"before": 0.3, "chance": 0.1, "after": 0.9},
        "top1_acc": {"chance": 0.1, "after": 0.84},
        "baseline_mean_color": {"value": 0.18, "chance": 0.1},
        "records": [
            record("class_retrieval_r1", "before", 0.3),
            record("class_retrieval_r1", "after", 0.9),
            record("top1_acc", "after", 0.84),
        ],
    }


def write_predictions(folder, videos, num_classes, *, wrong=0.25, name=lambda row: f"/v/{row}.mp4"):
    """Write the csv files of a test."""
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(videos) % num_classes
    scores = torch.rand(videos, num_classes, generator=generator) * 0.2
    is_wrong = torch.rand(videos, generator=generator) < wrong
    best = torch.where(is_wrong, (label + 1) % num_classes, label)
    scores[torch.arange(videos), best] = 0.8
    table = make_table({"scores": scores}, label)
    names = [f"class {number}" for number in range(num_classes)]
    write_reports(Predictions.create(table, name, names), folder)


def make_run(folder, *, records=None, videos=40, classes=4, **config):
    """Write the OUTPUT_DIR of a finished run; returns it."""
    folder.mkdir(parents=True)
    cfg = get_cfg()
    cfg.OUTPUT_DIR = str(folder)
    cfg.merge_from_list(
        [word for pair in config.items() for word in (pair[0].replace("__", "."), pair[1])]
    )
    (folder / "config.yaml").write_text(cfg.dump(), encoding="utf-8")
    write_stats(folder, train_records() if records is None else records)
    (folder / "results.json").write_text(json.dumps(results()), encoding="utf-8")
    start = {
        "source": "Kinetics/R2PLUS1D_18_30f.yaml",
        "started": "2026-01-02T03:04:05",
        "device": "CPU",
        "processes": 1,
        "processes_per_machine": 1,
        "cores": 4,
        "versions": {"torch": "2.9"},
        "seconds": {"train": 100.0, "test": 20.0},
    }
    starts = {"format": 1, "starts": [{**start, "seconds": {"train": 60.0}}, start]}
    (folder / "run.json").write_text(json.dumps(starts), encoding="utf-8")
    if videos:
        write_predictions(
            folder, videos, classes, name=lambda row: HOSTILE if row == 0 else f"/v/{row}.mp4"
        )
    return folder
