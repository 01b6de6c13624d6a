"""PySlowFast's 50 usual imports work as there, or say what replaces them."""

import argparse
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.media_files import Video, write_media
from helpers.script_targets import train_step_of_a_script
from helpers.synthetic import synthetic_cfg
from torch import nn
from torch.utils.data import DataLoader

from slowfast.cli.test_job import run_test
from slowfast.config import ConfigValueError, ParameterError, UserError, load_config
from slowfast.engine.trainer import Trainer
from slowfast.models.build import MODEL_REGISTRY, construct_model
from slowfast.pyslowfast_names import HOMES, REPLACED
from slowfast.utils.checkpoint import read_checkpoint_file

USUAL = """
slowfast.models:build_model slowfast.models:MODEL_REGISTRY slowfast.models.build:build_model
slowfast.models.build:MODEL_REGISTRY slowfast.datasets.loader:construct_loader
slowfast.datasets:loader slowfast.datasets.build:DATASET_REGISTRY
slowfast.datasets.build:build_dataset slowfast.datasets:build_dataset
slowfast.config.defaults:get_cfg slowfast.config.defaults:assert_and_infer_cfg
slowfast.config:get_cfg slowfast.utils.checkpoint:load_test_checkpoint
slowfast.utils.checkpoint:load_checkpoint slowfast.utils.checkpoint:save_checkpoint
slowfast.utils.checkpoint:load_train_checkpoint slowfast.utils.parser:load_config
slowfast.utils.parser:parse_args slowfast.utils.misc:launch_job slowfast.utils.meters:TestMeter
slowfast.utils.meters:TrainMeter slowfast.utils.metrics:topks_correct
slowfast.utils.metrics:topk_accuracies slowfast.utils.distributed:all_gather
slowfast.utils.distributed:all_reduce slowfast.utils.distributed:is_master_proc
slowfast.utils.logging:get_logger slowfast.utils.logging:setup_logging
slowfast.utils.logging:log_json_stats slowfast.models.optimizer:construct_optimizer
slowfast.models.optimizer:get_epoch_lr slowfast.models.losses:get_loss_func
slowfast.utils.lr_policy:get_lr_at_epoch slowfast.datasets.kinetics:Kinetics
slowfast.datasets.utils:pack_pathway_output slowfast.datasets.utils:spatial_sampling
slowfast.datasets.transform:uniform_crop slowfast.visualization.tensorboard_vis:TensorboardWriter
slowfast.utils.env:pathmgr slowfast.utils.env:setup_environment slowfast.datasets.mixup:MixUp
slowfast.utils.misc:log_model_info slowfast.models.batchnorm_helper:get_norm
""".split()
GONE = """
slowfast.models.video_model_builder:SlowFast slowfast.models.video_model_builder:ResNet
slowfast.models.video_model_builder:MViT slowfast.models.head_helper:ResNetBasicHead
slowfast.datasets.decoder:decode slowfast.visualization.utils:GetWeightAndActivation
slowfast.config.custom_config:add_custom_config
""".split()

SMALL = (
    "NUM_GPUS 0 RESNET.WIDTH_PER_GROUP 8 DATA.NUM_FRAMES 8 DATA.SAMPLING_RATE 2 "
    "MODEL.NUM_CLASSES 6 DATA.TRAIN_CROP_SIZE 32 DATA.TEST_CROP_SIZE 32 "
    "DATA.TRAIN_JITTER_SCALES [32,40] "
    "TEST.NUM_ENSEMBLE_VIEWS 2 TEST.NUM_SPATIAL_CROPS 3 LOG_PERIOD 1 SOLVER.MAX_EPOCH 2"
).split()


def load(name):
    module, _, own = name.partition(":")
    found = importlib.import_module(module)
    return getattr(found, own) if own else found


def small_cfg(*words):
    get_cfg = load("slowfast.config.defaults:get_cfg")
    cfg = get_cfg()
    cfg.merge_from_list([*SMALL, *[str(word) for word in words]])
    return cfg


@pytest.fixture
def videos(tmp_path):
    lines = []
    for label in range(2):
        write_media(tmp_path / f"{label}.mp4", Video())
        lines.append(f"{tmp_path}/{label}.mp4 {label}\n")
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}.csv").write_text("".join(lines), encoding="utf-8")
    return small_cfg("DATA.PATH_TO_DATA_DIR", tmp_path)


@pytest.mark.parametrize("name", USUAL)
def test_it_is_found(name):
    module, _, own = name.partition(":")
    space = {}
    exec(f"from {module} import {own}", space)
    assert callable(space[own]) or own in ("loader", "pathmgr") or "REGISTRY" in own


@pytest.mark.parametrize("name", GONE)
def test_what_is_gone_says_what_replaces_it(name):
    module, _, own = name.partition(":")
    with pytest.raises(ImportError, match=re.escape(REPLACED[module][:30])):
        exec(f"from {module} import {own}", {})


def test_there_are_fifty():
    assert len(set(USUAL + GONE)) == 50


def test_every_home_exists():
    for names in HOMES.values():
        for home in names.values():
            assert callable(load(home)) or "pathmgr" in home or "REGISTRY" in home


def test_what_the_hints_name_exists():
    for module, hint in REPLACED.items():
        with pytest.raises(ImportError, match=re.escape(hint)):
            load(module)
        for found in re.findall(r"slowfast\.[\w.]+(?::\w+)?", hint):
            path, _, name = found.rstrip(".").partition(":")
            try:
                assert not name or hasattr(importlib.import_module(path), name)
            except ModuleNotFoundError:  # module.name
                load(":".join(path.rpartition(".")[::2]))
        for page in re.findall(r"(?:docs|benchmarks|tools)/\w+\.\w+", hint):
            assert (Path(__file__).parents[2] / page).is_file()


def test_other_names_are_plain_errors():
    for line in ("import slowfast.nothing", "from slowfast.utils.misc import nothing",
                 "from slowfast.utils.meters import nothing"):  # fmt: skip
        with pytest.raises(ImportError, match="nothing"):
            exec(line, {})


@pytest.mark.parametrize(
    "line",
    [
        "from slowfast.models import build_model; from slowfast.config.defaults import get_cfg; "
        "build_model(get_cfg())",
        "from slowfast.datasets.build import DATASET_REGISTRY as r; r.get('Kinetics')",
    ],
)
def test_builders_alone_fill_the_registries(line):
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_the_package_imports_nothing():
    code = "import sys; n = set(sys.modules); import slowfast; print(set(sys.modules) - n)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{'slowfast'}"


@MODEL_REGISTRY.register()
class OwnNet(nn.Module):
    """A model as PySlowFast's users write them; `embed` is the name of a layer."""

    def __init__(self, cfg):
        super().__init__()
        self.embed = nn.Linear(3, cfg.MODEL.NUM_CLASSES)

    def forward(self, x):
        logits = self.embed(x[0].mean(dim=(2, 3, 4)))
        return logits if self.training else logits.softmax(dim=1)


def test_an_own_model_is_trained_and_tested(tmp_path):
    cfg = synthetic_cfg(tmp_path, "MODEL.MODEL_NAME", "OwnNet", "SOLVER.BASE_LR", 1.0,
                        "SOLVER.MAX_EPOCH", 6)  # fmt: skip
    Trainer(cfg, torch.device("cpu")).train()
    run_test(cfg, torch.device("cpu"))
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert results["top1_acc"]["after"] > 0.9
    alone = load("slowfast.models:build_model")(cfg)
    load("slowfast.utils.checkpoint:load_test_checkpoint")(cfg, alone)
    trained = construct_model(cfg)
    load("slowfast.utils.checkpoint:load_test_checkpoint")(cfg, trained)
    assert torch.equal(alone.embed.weight, trained.model.embed.weight)
    torch.save(alone.state_dict(), tmp_path / "alone.pyth")
    again = construct_model(cfg)
    load("slowfast.utils.checkpoint:load_checkpoint")(tmp_path / "alone.pyth", again)
    assert torch.equal(again.model.embed.weight, alone.embed.weight)
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pyth")
    with pytest.raises(UserError, match="another architecture"):
        load("slowfast.utils.checkpoint:load_checkpoint")(tmp_path / "other.pyth", again)


def test_own_models_and_datasets_are_registered_by_decorator():
    cfg = small_cfg("MODEL.MODEL_NAME", "OwnNet")
    model = load("slowfast.models:build_model")(cfg)
    assert model([torch.zeros(2, 3, 4, 8, 8)]).shape == (2, 6)

    datasets = load("slowfast.datasets.build:DATASET_REGISTRY")

    @datasets.register()
    class Owndata(torch.utils.data.Dataset):
        def __init__(self, cfg, split):
            self.split = split

    built = load("slowfast.datasets:build_dataset")("owndata", cfg, "train")
    assert isinstance(built, Owndata)
    assert datasets.get("OwnData") is Owndata


@pytest.mark.parametrize("arch", ["slowfast", "slow", "x3d", "mvit"])
def test_models_take_lists_of_pathways(arch):
    names = {"slowfast": "SlowFast", "slow": "ResNet", "x3d": "X3D", "mvit": "MViT"}
    cfg = small_cfg("MODEL.MODEL_NAME", names[arch], "MODEL.ARCH", arch)
    model = load("slowfast.models:build_model")(cfg, gpu_id=None).eval()
    clip = torch.randn(2, 3, 8, 32, 32)
    with torch.no_grad():
        scores, logits = model([clip]), model.embed({"video": clip.unsqueeze(1)})["logits"][:, 0]
        packed = [load("slowfast.datasets.utils:pack_pathway_output")(cfg, c) for c in clip]
        batch = [torch.stack(frames) for frames in zip(*packed, strict=True)]
        assert len(batch) == (2 if arch == "slowfast" else 1)
        assert torch.equal(model(batch), scores)
        assert torch.equal(model(clip), scores)
    assert torch.allclose(scores, logits.softmax(dim=1))
    model.train()
    assert not torch.allclose(model([clip]).sum(dim=1), torch.ones(2))
    with pytest.raises(ValueError, match="one input per pathway"):
        model([clip, clip, clip])


def test_configuration(tmp_path, monkeypatch):
    yaml = tmp_path / "x.yaml"
    yaml.write_text("TRAIN:\n  BATCH_SIZE: 4\n", encoding="utf-8")
    words = ["--cfg", str(yaml), "--num_shards", "2", "--shard_id", "1", "--init_method"]
    words += ["tcp://h:1", "--opts", "SOLVER.BASE_LR", "1", "TEST.ENABLE", "false"]
    monkeypatch.setattr(sys, "argv", ["mine.py", *words])
    args = load("slowfast.utils.parser:parse_args")()
    assert args.init_method == "tcp://h:1"
    cfg = load("slowfast.utils.parser:load_config")(args, args.cfg_files[0])
    cfg = load("slowfast.config.defaults:assert_and_infer_cfg")(cfg)
    assert (cfg.NUM_SHARDS, cfg.SHARD_ID, cfg.TRAIN.BATCH_SIZE) == (2, 1, 4)
    assert (cfg.SOLVER.BASE_LR, cfg.TEST.ENABLE) == (1.0, False)
    cfg.NUM_GPUS = 0  # not frozen
    old = argparse.Namespace(cfg_file=str(yaml), opts=None, output_dir=str(tmp_path))
    cfg = load("slowfast.utils.parser:load_config")(old)
    assert (4, str(tmp_path)) == (cfg.TRAIN.BATCH_SIZE, cfg.OUTPUT_DIR)
    with pytest.raises(UserError, match="unknown key"):
        load("slowfast.utils.parser:load_config")(argparse.Namespace(opts=["NO.KEY", "1"]))


def write_epoch(cfg):
    Path(cfg.OUTPUT_DIR, "ran").write_text(str(cfg.SOLVER.MAX_EPOCH), encoding="utf-8")


def test_launch_job(tmp_path):
    cfg = small_cfg("OUTPUT_DIR", tmp_path)
    load("slowfast.utils.misc:launch_job")(cfg=cfg, init_method="tcp://localhost", func=write_epoch)
    assert (tmp_path / "ran").read_text(encoding="utf-8") == "2"


@pytest.mark.distributed
def test_a_job_of_two_processes_averages_gradients(tmp_path):
    cfg = small_cfg("OUTPUT_DIR", tmp_path, "NUM_CPU_PROCESSES", 2, "DATA.NUM_FRAMES", 4)
    load("slowfast.utils.misc:launch_job")(cfg, "tcp://localhost", train_step_of_a_script)
    ranks = [torch.load(tmp_path / f"{rank}.pth") for rank in range(2)]
    assert {rank["kind"] for rank in ranks} == {"DistributedDataParallel"}
    assert torch.equal(ranks[0]["weights"], ranks[1]["weights"])
    assert ranks[0]["loss"] != ranks[1]["loss"]
    mean = sum(rank["loss"] for rank in ranks) / 2
    assert ranks[0]["mean"] == ranks[1]["mean"] == pytest.approx(mean)
    saved = read_checkpoint_file(tmp_path)["model_state"]
    assert not any(key.startswith("module.") for key in saved)


def test_a_training_loop_of_a_script(tmp_path):
    torch.manual_seed(0)
    cfg = small_cfg("OUTPUT_DIR", tmp_path, "SOLVER.BASE_LR", 0.001)  # 0.1 overflows on some seeds
    model = load("slowfast.models:build_model")(cfg)
    optimizer = load("slowfast.models.optimizer:construct_optimizer")(model, cfg)
    loss_func = load("slowfast.models.losses:get_loss_func")(cfg.MODEL.LOSS_FUNC)(reduction="mean")
    meter = load("slowfast.utils.meters:TrainMeter")(1, cfg)
    load("slowfast.utils.logging:setup_logging")(cfg.OUTPUT_DIR)
    clip, label = torch.randn(4, 3, 8, 32, 32), torch.tensor([0, 1, 2, 5])
    start = load("slowfast.utils.checkpoint:load_train_checkpoint")(cfg, model, optimizer)
    assert start == 0
    for epoch in range(2):
        lr = load("slowfast.models.optimizer:get_epoch_lr")(epoch, cfg)
        assert lr == load("slowfast.utils.lr_policy:get_lr_at_epoch")(cfg, epoch)
        meter.iter_tic()
        meter.data_toc()
        preds = model([clip])
        loss = loss_func(preds, label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        correct = load("slowfast.utils.metrics:topks_correct")(preds, label, (1, 5))
        errors = [(1.0 - x / preds.size(0)) * 100.0 for x in correct]
        loss, *errors = load("slowfast.utils.distributed:all_reduce")([loss, *errors])
        meter.iter_toc()
        meter.update_stats(*(e.item() for e in errors), loss.item(), lr, 1.0, 4, [loss.item()])
        meter.log_iter_stats(epoch, 0)
        meter.log_epoch_stats(epoch)
        meter.reset()
        saved = load("slowfast.utils.checkpoint:save_checkpoint")(
            cfg.OUTPUT_DIR, model, optimizer, epoch, cfg
        )
    assert saved == tmp_path / "checkpoints" / "checkpoint_epoch_00002.pyth"
    fresh = load("slowfast.models:build_model")(cfg)
    other = load("slowfast.models.optimizer:construct_optimizer")(fresh, cfg)
    assert load("slowfast.utils.checkpoint:load_train_checkpoint")(cfg, fresh, other) == 2
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), fresh.parameters(), strict=True)
    )
    assert len(other.state) == len(optimizer.state) > 0
    tested = load("slowfast.models:build_model")(cfg)
    load("slowfast.utils.checkpoint:load_test_checkpoint")(cfg, tested)
    epoch = load("slowfast.utils.checkpoint:load_checkpoint")(
        saved, tested, data_parallel=False, epoch_reset=True
    )
    assert epoch == -1
    assert torch.equal(tested.eval()([clip]), model.eval()([clip]))
    lines = (tmp_path / "json_stats.log").read_text(encoding="utf-8").splitlines()
    stats = json.loads(lines[-1].removeprefix("json_stats: "))
    assert {"dt", "dt_data", "dt_net", "eta", "gpu_mem", "RAM", "lr", "loss", "loss_0"} < set(stats)
    assert (stats["_type"], stats["epoch"]) == ("train_epoch", "2/2")


def test_when_a_loop_evaluates_and_saves():
    words = "TRAIN.EVAL_PERIOD 2 TRAIN.CHECKPOINT_PERIOD 3 SOLVER.MAX_EPOCH 7".split()
    cfg = small_cfg(*words)
    evaluates = load("slowfast.utils.misc:is_eval_epoch")
    saves = load("slowfast.utils.checkpoint:is_checkpoint_epoch")
    assert [e for e in range(7) if evaluates(cfg, e, None)] == [1, 3, 5, 6]
    assert [e for e in range(7) if saves(cfg, e)] == [2, 5, 6]
    cfg.TRAIN.EVAL_PERIOD = 0
    assert [e for e in range(7) if evaluates(cfg, e, None)] == [6]


def test_helpers_of_a_loop(monkeypatch):
    load("slowfast.utils.distributed:init_distributed_training")(small_cfg())
    check = load("slowfast.utils.misc:check_nan_losses")
    check(1.0)
    with pytest.raises(RuntimeError, match=r"the loss is NaN: lower SOLVER.BASE_LR"):
        check(torch.tensor(float("nan")))
    norm = load("slowfast.models.optimizer:get_grad_norm_")
    weights = [torch.zeros(2, requires_grad=True) for _ in range(3)]
    assert norm(weights) == norm(weights[0]) == 0
    (3 * weights[0][0] + 4 * weights[1][1]).backward()
    assert norm(weights) == 5
    assert norm(weights, float("inf")) == 4
    assert norm(weights[0]) == 3
    ticks = iter([0.0, 10.0, 11.0, 20.0, 24.0, 30.0, 33.0])
    monkeypatch.setattr("slowfast.utils.script_loop.time.perf_counter", lambda: next(ticks))
    timer = load("slowfast.utils.meters:EpochTimer")()
    for _ in range(3):
        timer.epoch_tic()
        timer.epoch_toc()
    assert timer.last_epoch_time() == timer.median_epoch_time() == 3
    assert timer.avg_epoch_time() == pytest.approx(8 / 3)


def test_losses_by_name():
    get = load("slowfast.models.losses:get_loss_func")
    logits, target = torch.randn(3, 4), torch.tensor([[0.0, 1, 0, 1]] * 3)
    assert torch.equal(get("bce_logit")()(logits, target), nn.BCEWithLogitsLoss()(logits, target))
    soft = get("soft_cross_entropy")(reduction="mean")(logits, target)
    assert torch.allclose(soft, nn.CrossEntropyLoss()(logits, target / 2))
    with pytest.raises(ConfigValueError, match="LOSS_FUNC: got 'stica'"):
        get("stica")


@pytest.mark.parametrize(("method", "wanted"), [("sum", "50.00"), ("max", "100.00")])
def test_the_test_meter_combines_the_views_of_a_video(method, wanted, caplog):
    meter = load("slowfast.utils.meters:TestMeter")(2, 2, 3, 2, ensemble_method=method)
    views = torch.tensor([[0.9, 0.1, 0.0], [0.0, 0.85, 0.15], [0.0, 0.9, 0.1], [0.0, 0.8, 0.2]])
    order = torch.tensor([3, 0, 2, 1])
    labels = torch.tensor([0, 0, 1, 1])
    for rows in order.split(2):
        meter.iter_tic()
        meter.data_toc()
        meter.iter_toc()
        meter.update_stats(views[rows], labels[rows], rows)
        meter.log_iter_stats(0)
    with caplog.at_level("INFO", logger="slowfast"):
        meter.finalize_metrics(ks=(1, 2))
    assert meter.stats == {"split": "test_final", "top1_acc": wanted, "top2_acc": "100.00"}
    assert 'json_stats: {"split": "test_final", "top1_acc"' in caplog.text
    meter.clip_count[1] = 1
    meter.finalize_metrics(ks=(1,))
    assert "1 of 2 videos do not have 2 views" in caplog.text


def test_metrics_and_one_process():
    preds, labels = torch.eye(4)[[0, 1, 2, 2]] + 0.1 * torch.arange(4), torch.tensor([0, 1, 2, 3])
    correct = load("slowfast.utils.metrics:topks_correct")(preds, labels, (1, 2))
    assert [float(x) for x in correct] == [3.0, 4.0]
    top1, top4 = load("slowfast.utils.metrics:topk_accuracies")(preds, labels, (1, 4))
    assert (float(top1), float(top4)) == (75.0, 100.0)
    gathered = load("slowfast.utils.distributed:all_gather")([preds, labels])
    assert torch.equal(gathered[0], preds)
    assert load("slowfast.utils.distributed:is_master_proc")(8)
    assert load("slowfast.utils.distributed:get_world_size")() == 1


def test_loggers(tmp_path, caplog):
    load("slowfast.utils.env:setup_environment")()
    logger = load("slowfast.utils.logging:get_logger")("mine")
    with caplog.at_level("INFO"):
        logger.info("hello")
        load("slowfast.utils.logging:log_json_stats")({"loss": 1.0})
    assert "hello" in caplog.text
    assert 'json_stats: {"loss": 1.0}' in caplog.text
    with load("slowfast.utils.env:pathmgr").open(str(tmp_path / "a"), "w") as file:
        file.write("b")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "b"


def test_model_info_norm_and_tensorboard(tmp_path, caplog):
    cfg = small_cfg("OUTPUT_DIR", tmp_path, "BN.NORM_TYPE", "sub_batchnorm", "BN.NUM_SPLITS", 2)
    assert load("slowfast.models.batchnorm_helper:get_norm")(cfg)(num_features=4).num_features == 4
    with caplog.at_level("INFO", logger="slowfast"):
        load("slowfast.utils.misc:log_model_info")(nn.Linear(2, 3), small_cfg(), True)
    assert "M parameters" in caplog.text
    writer = load("slowfast.visualization.tensorboard_vis:TensorboardWriter")(cfg)
    writer.add_scalars({"Train/loss": 1.0}, global_step=3)
    writer.close()
    assert list((tmp_path / "runs-kinetics").glob("events.*"))


def test_crops():
    crop = load("slowfast.datasets.transform:uniform_crop")
    clip = torch.arange(3 * 2 * 7 * 12.0).reshape(3, 2, 7, 12)
    for index, left in enumerate((0, 3, 5)):
        assert torch.equal(crop(clip, 7, index)[0], clip[..., left : left + 7])
        tall = clip.transpose(2, 3)
        assert torch.equal(crop(tall, 7, index)[0], tall[:, :, left : left + 7])
    sample = load("slowfast.datasets.utils:spatial_sampling")
    assert torch.equal(sample(clip, 1, 7, 7, 7), clip[..., 3:10])
    torch.manual_seed(0)
    crops = [sample(clip, -1, 8, 10, 6) for _ in range(8)]
    assert {tuple(c.shape) for c in crops} == {(3, 2, 6, 6)}
    assert len({float(c.sum()) for c in crops}) == 8
    assert sample(clip, -1, 0, 0, 5, scale=[0.3, 1.0], aspect_ratio=[0.7, 1.4]).shape[-1] == 5
    with pytest.raises(ParameterError, match="spatial_idx"):
        crop(clip, 7, 3)
    with pytest.raises(ParameterError, match="size: got 9"):
        crop(clip, 9, 1)


def test_mixup():
    mix = load("slowfast.datasets.mixup:MixUp")(mixup_alpha=0.8, cutmix_alpha=1.0, num_classes=5)
    clip, label = mix(torch.randn(4, 3, 2, 8, 8), torch.tensor([0, 1, 2, 3]))
    assert clip.shape == (4, 3, 2, 8, 8)
    assert torch.allclose(label.sum(dim=1), torch.ones(4))


def test_kinetics(videos):
    kinetics = load("slowfast.datasets.kinetics:Kinetics")
    test = kinetics(videos, "test")
    assert len(test) == test.num_videos == 2 * 2 * 3
    frames, label, index, time, meta = test[7]
    assert [tuple(f.shape) for f in frames] == [(3, 1, 32, 32), (3, 8, 32, 32)]
    assert (int(label), index, meta) == (1, 7, {})
    assert np.allclose(np.diff(time[0, :2]), 16 / 30)
    train = kinetics(videos, "train")
    batches = list(DataLoader(train, batch_size=2))
    assert [tuple(f.shape) for f in batches[0][0]] == [(2, 3, 1, 32, 32), (2, 3, 8, 32, 32)]
    assert batches[0][1].tolist() == [0, 1]
    assert not torch.equal(train[0][0][1], train[0][0][1])
    assert torch.equal(kinetics(videos, "val")[0][0][1], kinetics(videos, "val")[0][0][1])
    with pytest.raises(ParameterError, match="mode: got 'training'"):
        kinetics(videos, "training")


def test_the_page_lists_the_names():
    page = (Path(__file__).parents[2] / "docs" / "coming_from_pyslowfast.md").read_text("utf-8")
    for module in HOMES:
        assert f"| `{module}` |" in page, module
    for module, instead in REPLACED.items():
        assert f"| {module} | none: ImportError | {instead} |" in page


def test_a_config_loaded_by_a_script_is_that_of_the_command(tmp_path):
    args = argparse.Namespace(opts=["OUTPUT_DIR", str(tmp_path)])
    ours = load_config("Kinetics/SLOW_8x8_R50.yaml", args.opts, validate=False).cfg
    assert load("slowfast.utils.parser:load_config")(args, "Kinetics/SLOW_8x8_R50.yaml") == ours
