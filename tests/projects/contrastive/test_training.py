"""Each method under the real trainer: exact resume with banks and queues, gradient caching."""

import pytest
import torch
from helpers.chunks import spy_on_chunks
from helpers.synthetic import run, synthetic_cfg
from torch import nn

from slowfast.config import ConfigError
from slowfast.engine.protocols.build import with_protocols_of_model
from slowfast.engine.trainer import Trainer
from slowfast.models.build import LOSS_REGISTRY, build_model
from slowfast.models.contrastive.partition import PartitionConstant
from slowfast.utils.logging import read_stats
from slowfast.utils.random import seed_everything

AUDIO = "AUDIO.ENABLE True AUDIO.CLIP_SEC 0.1 AUDIO.NUM_MEL 8 AUDIO.WIDTH 4 AUDIO.SAMPLE_RATE 24000"
VIEWS = "DATA.TRAIN_CROP_NUM_SPATIAL 2"
METHODS = {
    "SimCLR": ("simclr", VIEWS),
    "NPID": ("npid", "NPID.LOSS nce NPID.NUM_NEGATIVES 5"),
    "CMC": ("cmc", "CMC.NUM_NEGATIVES 5"),
    "MoCo": ("moco", f"{VIEWS} MOCO.QUEUE_LEN 5 BN.NORM_TYPE sub_batchnorm BN.NUM_SPLITS 2"),
    "SwAV": (
        "swav",
        f"{VIEWS} SWAV.NUM_PROTOTYPES 5 SWAV.QUEUE_LEN 5 SWAV.QUEUE_START_EPOCH 0.5 "
        "SWAV.FREEZE_EPOCHS 0.3",
    ),
    "AVID": (
        "avid",
        f"{AUDIO} AVID.NUM_NEGATIVES 5 CMA.ENABLE True CMA.START_EPOCH 1 CMA.EVERY_EPOCHS 1 "
        "CMA.NUM_POSITIVES 3 CMA.NUM_NEGATIVES 4",
    ),
    "GDT": ("gdt", f"{AUDIO} GDT.REVERSAL invariant"),
    "MMV": ("mmv", f"{AUDIO} MMV.DIM 16"),
    "ContrastiveModel": (
        "contrastive_loss",
        f"{VIEWS} CONTRASTIVE.TYPE moco CONTRASTIVE.QUEUE_LEN 8 CONTRASTIVE.SEQUENTIAL True "
        "CONTRASTIVE.MOMENTUM 0.9 CONTRASTIVE.NUM_MLP_LAYERS 2 CONTRASTIVE.MLP_DIM 16",
    ),
}
SMALL = "PROJECTS ['contrastive'] SOLVER.MAX_EPOCH 3 SOLVER.BASE_LR 0.01 MODEL.POOLING avg"


def words_of(method):
    loss, more = METHODS[method]
    return [
        *SMALL.split(),
        "MODEL.MODEL_NAME",
        method,
        "MODEL.LOSS_FUNC",
        loss,
        *more.split(),
    ]


def losses(folder):
    stats = [s for s in read_stats(folder) if s["_type"] == "train_iter"]
    return {s["step"]: s["loss"] for s in stats}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_stopped_run_resumes_bit_for_bit(tmp_path, method):
    words = words_of(method)
    straight = run(tmp_path / "straight", *words)
    run(tmp_path / "resumed", *words, until=4)
    resumed = run(tmp_path / "resumed", *words, seed=999)
    assert losses(tmp_path / "resumed") == losses(tmp_path / "straight")
    assert len(losses(tmp_path / "straight")) == 9
    for name, value in straight.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


@pytest.mark.parametrize("method", ["SimCLR", "NPID", "CMC", "MoCo", "AVID", "GDT", "MMV"])
def test_chunks_with_cached_gradients_equal_the_undivided_batch(tmp_path, monkeypatch, method):
    """With fixed batch-norm statistics, after a step that sets the constants of NCE."""
    words = [*words_of(method), "TRAIN.CHECKPOINT_PERIOD", 100]
    if method == "MoCo":
        words += ["BN.NORM_TYPE", "batchnorm"]  # two halves of a chunk are not those of a batch
    gradients, sizes = [], spy_on_chunks(monkeypatch)
    for chunk in (0, 3):
        folder = tmp_path / str(chunk)
        folder.mkdir()
        cfg = synthetic_cfg(folder, *words, "SOLVER.GRAD_CACHE_CHUNK", chunk)
        seed_everything(0)
        trainer = Trainer(cfg, torch.device("cpu"))
        trainer.model.train()
        for module in trainer.model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        for module in trainer.model.modules():
            if isinstance(module, PartitionConstant):
                module.log_mean.fill_(0.5)
        batch = trainer.step.prepare(next(iter(trainer.loader)))
        trainer.model.before_step(trainer.progress())
        trainer.step.forward_backward(batch, is_last=True)
        gradients.append(
            {n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.grad is not None}
        )
    assert sizes == [3]
    undivided, chunked = gradients
    assert undivided.keys() == chunked.keys()
    for name, expected in undivided.items():
        torch.testing.assert_close(chunked[name], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("method", "words", "key"),
    [
        ("SimCLR", "DATA.TRAIN_CROP_NUM_SPATIAL 1", "DATA.TRAIN_CROP_NUM_SPATIAL"),
        ("SimCLR", "SIMCLR.TEMPERATURE 0.0", "SIMCLR.TEMPERATURE"),
        ("SimCLR", "MODEL.LOSS_FUNC cross_entropy", "MODEL.LOSS_FUNC"),
        ("SimCLR", f"{AUDIO}", "AUDIO.ENABLE"),
        ("NPID", "NPID.LOSS hinge", "NPID.LOSS"),
        ("NPID", "NPID.BANK_MOMENTUM 1.5", "NPID.BANK_MOMENTUM"),
        ("CMC", "CMC.VIEWS audio", "AUDIO.ENABLE"),
        ("MoCo", "MOCO.QUEUE_LEN 0", "MOCO.QUEUE_LEN"),
        ("MoCo", "MOCO.MOMENTUM_SCHEDULE linear", "MOCO.MOMENTUM_SCHEDULE"),
        ("SwAV", "SWAV.EPSILON 0.0", "SWAV.EPSILON"),
        ("SwAV", "DATA.TRAIN_VIEWS multi_crop SWAV.SMALL_SCALES [0.5,0.2]", "SWAV.SMALL_SCALES"),
        ("SwAV", "SOLVER.GRAD_CACHE_CHUNK 2", "SOLVER.GRAD_CACHE_CHUNK"),
        (
            "ContrastiveModel",
            "CONTRASTIVE.TYPE swav SOLVER.GRAD_CACHE_CHUNK 2",
            "SOLVER.GRAD_CACHE_CHUNK",
        ),
        ("AVID", "AVID.BANK_MOMENTUM [0.5]", "AVID.BANK_MOMENTUM"),
        ("AVID", "CMA.NUM_NEGATIVES 6", "CMA.NUM_NEGATIVES"),
        ("AVID", "AVID.CROSS_WEIGHT 0.0", "AVID.CROSS_WEIGHT"),
        ("GDT", "GDT.SHIFT variant", "DATA.TRAIN_CROP_NUM_TEMPORAL"),
        ("GDT", "GDT.REVERSAL yes", "GDT.REVERSAL"),
        ("MMV", "MMV.TEXT_WEIGHT 1.0", "DATA.ROW_FIELDS"),
        ("ContrastiveModel", "CONTRASTIVE.TYPE byol", "CONTRASTIVE.PREDICTOR_DEPTHS"),
        ("ContrastiveModel", "CONTRASTIVE.TYPE self", "CONTRASTIVE.TYPE"),
        ("ContrastiveModel", "CONTRASTIVE.MEM_TYPE 2d", "CONTRASTIVE.MEM_TYPE"),
        ("ContrastiveModel", "CONTRASTIVE.DELTA_CLIPS_MIN 8.0", "CONTRASTIVE.DELTA_CLIPS_MIN"),
    ],
)
def test_mistakes_are_named(tmp_path, method, words, key):
    with pytest.raises(ConfigError) as caught:
        synthetic_cfg(tmp_path, *words_of(method), *words.split())
    assert key in {problem.key for problem in caught.value.problems}


@pytest.mark.parametrize(("warmup", "step"), [(0.0, 3), (2.0, 6)])
def test_a_loss_at_its_chance_level_is_reported(tmp_path, caplog, monkeypatch, warmup, step):
    monkeypatch.setattr("slowfast.engine.recorder._LEARNING_STEPS", 3)
    caplog.set_level("INFO", logger="slowfast")
    words = ["SOLVER.BASE_LR", 1e-12, "SOLVER.WARMUP_START_LR", 0.0, "SIMCLR.TEMPERATURE", 1000.0]
    run(tmp_path, *words_of("SimCLR"), *words, "SOLVER.WARMUP_EPOCHS", warmup)
    text = caplog.text
    assert "chance level of the loss: 1.946" in text  # ln(2 * 4 - 1)
    assert text.count("nothing is learned yet") == 1
    assert f"the loss is 1.946 after {step} steps" in text  # once the warm-up is over


@pytest.mark.parametrize(
    ("method", "words", "text"),
    [
        ("SwAV", "SWAV.NUM_PROTOTYPES 10", "10 prototypes share 9 rows"),
        ("MoCo", "MOCO.QUEUE_LEN 7", "7 keys of 13 training videos"),
    ],
)
def test_numbers_that_do_not_fit_the_data_are_reported(tmp_path, caplog, method, words, text):
    run(tmp_path, *words_of(method), *words.split(), until=1)
    assert text in caplog.text
    assert not caplog.text.count(text) > 1


def test_text_has_a_space_of_its_own(tmp_path):
    """MMV with text: gradients reach the text encoder; padding does not count."""
    words = [*words_of("MMV"), "MMV.TEXT_WEIGHT", 0.5, "MMV.NUM_TEXTS", 2, "MMV.VOCABULARY", 9]
    cfg = synthetic_cfg(
        tmp_path, *words, "MMV.TEXT_DIM", 8, "MMV.COARSE_DIM", 4, "DATA.ROW_FIELDS", "['text']"
    )
    model = build_model(cfg).train()
    tokens = torch.tensor([[1, 2, 3, 0], [4, 0, 5, 6], [0, 0, 0, 0], [7, 8, 1, 2]])
    batch = {
        "video": torch.randn(4, 1, 3, 4, 16, 16),
        "audio": torch.randn(4, 1, 1, 8, 10),
        "aug_seed": torch.arange(4),
        "text": tokens,
    }
    outputs = model(batch)
    assert outputs.text.shape == (4, 2, 4)
    assert outputs.text_valid.tolist() == [True, True, False, True]
    losses = LOSS_REGISTRY.get("mmv")(cfg)(outputs, batch)
    torch.testing.assert_close(losses["loss"], losses["loss_audio"] + 0.5 * losses["loss_text"])
    losses["loss"].backward()
    assert model.text.embedding.weight.grad[1:9].abs().sum() > 0
    assert model.text.embedding.weight.grad[0].abs().sum() == 0  # padding
    padded = torch.cat([tokens.unflatten(1, (2, 2)), torch.zeros(4, 2, 3, dtype=torch.int64)], 2)
    again = model.eval()({**batch, "text": padded.flatten(1)})
    torch.testing.assert_close(again.text, model({**batch, "text": tokens}).text)


def test_a_method_has_protocols_of_its_own(tmp_path):
    cfg = with_protocols_of_model(synthetic_cfg(tmp_path, *words_of("SimCLR")))
    assert cfg.TEST.PROTOCOLS == ["class_retrieval", "knn"]
    asked = synthetic_cfg(tmp_path, *words_of("SimCLR"), "TEST.PROTOCOLS", "['linear_probe']")
    assert with_protocols_of_model(asked) is asked
    classifier = synthetic_cfg(tmp_path)
    assert with_protocols_of_model(classifier) is classifier
