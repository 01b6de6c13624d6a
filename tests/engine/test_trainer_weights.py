"""What a training starts from: files of other frameworks, addresses, images; and its header."""

import re

import pytest
import torch
from helpers.http_files import serve
from helpers.synthetic import synthetic_cfg
from helpers.zoo_files import basic_image_name, flattened, renamed

from slowfast.config import UserError
from slowfast.engine.trainer import Trainer
from slowfast.models import weights as weights_module
from slowfast.models.build import build_model
from slowfast.utils.checkpoint import read_checkpoint_file

CPU = torch.device("cpu")
STEM = "backbone.stem.0.weight"


def published(cfg, seed=7):
    """Weights of the configuration's network under torchvision's names."""
    torch.manual_seed(seed)
    state = build_model(cfg).state_dict()
    return {
        re.sub(r"^head\.projection", "fc", k).removeprefix("backbone."): v for k, v in state.items()
    }


def start(tmp_path, path, *words):
    (tmp_path / "out").mkdir(exist_ok=True)
    cfg = synthetic_cfg(tmp_path / "out", "TRAIN.CHECKPOINT_FILE_PATH", path, *words)
    return Trainer(cfg, CPU)


@pytest.fixture
def weights(tmp_path):
    return published(synthetic_cfg(tmp_path / "out"))


def test_a_finished_run_of_pyslowfast_starts_at_epoch_zero(tmp_path, weights):
    content = {"model_state": weights, "optimizer_state": {"state": {}, "param_groups": []}}
    torch.save({**content, "epoch": 199, "cfg": ""}, tmp_path / "a.pyth")
    trainer = start(tmp_path, tmp_path / "a.pyth")
    assert trainer.steps_done == 0
    assert torch.equal(trainer.model.state_dict()[STEM], weights["stem.0.weight"])
    trainer.train()
    assert trainer.is_finished


def test_a_named_run_is_read_once_for_its_weights_and_its_progress(tmp_path, monkeypatch):
    started = Trainer(synthetic_cfg(tmp_path / "first"), CPU)
    started.epoch, started.iteration = 1, 1
    started.save(wait=True)
    reads = []

    def read(path):
        reads.append(path)
        return read_checkpoint_file(path)

    monkeypatch.setattr(weights_module, "read_checkpoint_file", read)
    trainer = start(tmp_path, tmp_path / "first")
    assert reads == [tmp_path / "first"]
    assert (trainer.epoch, trainer.iteration) == (1, 1)
    assert torch.equal(trainer.model.state_dict()[STEM], started.model.state_dict()[STEM])


def test_from_an_address(tmp_path, weights, monkeypatch):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "cache"))
    torch.save(weights, tmp_path / "a.pth")
    with serve((tmp_path / "a.pth").read_bytes()) as server:
        trainer = start(tmp_path, server.url("a.pth"))
        assert len(server.requests) == 1
    assert torch.equal(trainer.model.state_dict()[STEM], weights["stem.0.weight"])


def test_an_address_without_a_file_ends_with_one_message(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "cache"))
    with (
        serve(b"x", statuses=(404,)) as server,
        pytest.raises(UserError, match=r"TRAIN.CHECKPOINT_FILE_PATH: .* server answered 404"),
    ):
        start(tmp_path, server.url("a.pth"))


def test_from_an_image_network(tmp_path, weights):
    images = flattened(renamed(weights, basic_image_name))
    torch.save(images, tmp_path / "resnet18-01234567.pth")
    words = ("TRAIN.CHECKPOINT_INFLATE", True)
    trainer = start(tmp_path, tmp_path / "resnet18-01234567.pth", *words)
    stem = trainer.model.state_dict()[STEM]
    torch.testing.assert_close(stem.sum(2), images["conv1.weight"])


def test_the_header_says_what_the_model_costs(tmp_path, caplog):
    with caplog.at_level("INFO", logger="slowfast"):
        Trainer(synthetic_cfg(tmp_path / "a"), CPU)
    assert re.search(
        r"M parameters, .* M trained \(.*\); [\d.]+ G multiply-adds for a clip of 4 frames of 16",
        caplog.text,
    )
    caplog.clear()
    with caplog.at_level("INFO", logger="slowfast"):
        Trainer(synthetic_cfg(tmp_path / "b", "LOG_MODEL_INFO", False), CPU)
    assert "multiply-adds" not in caplog.text


def test_weights_that_were_trained_on_other_clips_are_told(tmp_path, caplog):
    caplog.set_level("INFO")
    words = ("DATA.NUM_FRAMES", 8, "DATA.SAMPLING_RATE", 3, "SOLVER.WEIGHT_DECAY", 0.5)
    Trainer(synthetic_cfg(tmp_path / "first", *words), CPU).save(wait=True)
    caplog.clear()
    epoch_reset = ("TRAIN.CHECKPOINT_EPOCH_RESET", True)
    trainer = start(tmp_path, tmp_path / "first", *epoch_reset)
    told = f"{tmp_path / 'first'} was trained on other clips: DATA.NUM_FRAMES: 8 -> 4, DATA.SAMPL"
    assert told in caplog.text
    assert "WEIGHT_DECAY" not in caplog.text
    assert trainer.steps_done == 0
    for text in ("a: [", "5", "!!python/object:os.x {}"):  # of another framework
        state = trainer.model.state_dict()
        torch.save({"model_state": state, "cfg": text}, tmp_path / "a.pyth")
        start(tmp_path, tmp_path / "a.pyth", *epoch_reset)
