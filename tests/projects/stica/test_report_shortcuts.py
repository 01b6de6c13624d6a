"""What is planted in features is what the script finds, and nothing else."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.media_files import Video, write_media
from helpers.sweeps import write_sweep_json
from torch import nn

from slowfast.config import get_cfg

SCRIPTS = Path(__file__).parents[3] / "projects/stica"
SIDE, CROP = 56, 48


@pytest.fixture
def report(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("report_shortcuts")


@pytest.fixture
def cfg(tmp_path):
    """Two classes by brightness of a corner; red grows to the right and green downward."""
    rng = np.random.default_rng(0)
    ramp = np.arange(SIDE) * 3
    for split, count in (("train", 12), ("test", 6)):
        for label in range(2):
            for i in range(count):
                frame = np.zeros((SIDE, SIDE, 3), np.uint8)
                frame[..., 0], frame[..., 1] = ramp[None, :], ramp[:, None]
                frame[..., 2] = rng.integers(20, 200)
                folder = tmp_path / split / f"class_{label}"
                folder.mkdir(parents=True, exist_ok=True)
                still = Video(
                    codec="libx264rgb",
                    pix_fmt="rgb24",
                    options={"crf": "0"},
                    still=frame,
                    size=(SIDE, SIDE),
                    ticks=range(6),
                )
                write_media(folder / f"recording_{i}.mp4", still)
    tree = get_cfg()
    tree.merge_from_list(
        ["DATA.PATH_TO_DATA_DIR", str(tmp_path), "DATA.NUM_FRAMES", 2, "DATA.SAMPLING_RATE", 1]
    )
    tree.merge_from_list(["DATA.DECODING_SHORT_SIZE", SIDE, "DATA.TEST_CROP_SIZE", CROP])
    tree.merge_from_list(["TEST.DATASET", "kinetics", "TRAIN.DATASET", "kinetics"])
    tree.merge_from_list(["DATA_LOADER.NUM_WORKERS", 0, "TEST.BATCH_SIZE", 4])
    return tree


@pytest.fixture
def no_audio(report, monkeypatch):
    """The planted features have no joint space with audio."""
    nothing = dict.fromkeys(("heard", "unheard"), 0.0)
    monkeypatch.setattr(report, "remembered", lambda cfg, model: nothing)


class _Means(nn.Module):
    """Features that know the mean of each channel, over the full clip."""

    def embed(self, batch):
        return {"video": batch["video"].mean(dim=(3, 4, 5))}


@pytest.mark.usefixtures("no_audio")
def test_place_color_and_source_are_found(report, cfg, monkeypatch):
    monkeypatch.setattr(report, "load_run", lambda folder: (cfg, _Means()))
    found = report.measure(Path())
    assert set(found) == set(report.COLUMNS)
    for name in ("color", "light", "across", "down"):
        assert found[name] > 0.95, name
    train = report.embed(cfg, _Means(), "gallery")
    assert sorted(set(train.source)) == sorted(f"recording_{i}" for i in range(12))
    assert train.label.tolist() == [0] * 12 + [1] * 12
    assert train.place.min() >= 0
    assert train.place.max() <= SIDE - CROP
    assert torch.unique(train.place, dim=0).shape[0] > 12
    again = report.embed(cfg, _Means(), "gallery")
    assert torch.equal(train.place, again.place)


@pytest.mark.usefixtures("no_audio")
def test_features_of_constants_know_nothing(report, cfg, monkeypatch):
    class Noise(nn.Module):
        def embed(self, batch):
            generator = torch.Generator().manual_seed(int(batch["video"].abs().sum()))
            return {"video": torch.randn(len(batch["video"]), 1, 3, generator=generator)}

    monkeypatch.setattr(report, "load_run", lambda folder: (cfg, Noise()))
    found = report.measure(Path())
    for name in ("color", "light", "across", "down"):
        assert found[name] < 0.6, name


@pytest.mark.usefixtures("no_audio")
def test_clips_of_one_recording_are_recognized(report, monkeypatch):
    features = torch.eye(4, dtype=torch.float64)[[0, 1, 0, 1]] + 0.01
    clips = report.Clips(
        ["a", "b", "a", "c"],
        torch.tensor([0, 0, 1, 1]),
        *([features[:, :2]] * 2),
        features,
        features,
    )
    monkeypatch.setattr(report, "load_run", lambda folder: (None, None))
    monkeypatch.setattr(report, "embed", lambda cfg, model, split: clips)
    assert report.measure(Path())["source"] == 0.5


def test_pairs_that_were_learned_by_heart_are_found(report, cfg, monkeypatch):
    """24 training clips, 12 test clips: all of the first and 3 of the second find their audio."""
    known = torch.eye(24)
    wrong = torch.eye(12)[[0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 3]]
    planted = {
        "gallery": {"video_embedding": known, "audio_embedding": known},
        "test": {"video_embedding": torch.eye(12), "audio_embedding": wrong},
    }

    class Planted:
        def __init__(self, *unused):
            pass

        def features(self, split):
            return SimpleNamespace(features=planted[split])

    monkeypatch.setattr(report, "Evaluation", Planted)
    assert report.remembered(cfg, nn.Identity()) == {"heard": 1.0, "unheard": 0.25}


def test_the_command_measures_the_variants_that_were_asked_for(
    report, tmp_path, monkeypatch, capsys
):
    runs = [({"run": name}, seed, {"x": 0.5}) for name in ("avg", "avg+both") for seed in (1, 2)]
    write_sweep_json(tmp_path / "sweep.json", runs)
    known = dict.fromkeys(report.COLUMNS, 0.25)
    measured = []
    monkeypatch.setattr(report, "measure", lambda folder: measured.append(folder) or known)
    words = ["report", str(tmp_path), "--out", str(tmp_path / "out"), "--variants"]
    monkeypatch.setattr(sys, "argv", [*words, "avg+both"])
    report.main()
    table = capsys.readouterr().out
    assert len(measured) == 2
    assert "| avg+both | 25.0 % (25.0 to 25.0) | 0.25 (0.25 to 0.25) |" in table
    assert "| avg |" not in table
    assert (tmp_path / "out.md").read_text() == table
    monkeypatch.setattr(sys, "argv", [*words, "max"])
    with pytest.raises(SystemExit):
        report.main()
    assert "--variants max: expected some of ['avg', 'avg+both']" in capsys.readouterr().err
