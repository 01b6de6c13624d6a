"""results.json: merged by metric and by record, hashes that name what they should, the table."""

import json
import re
from pathlib import Path

import torch
from helpers.synthetic import synthetic_cfg
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from slowfast.engine.protocols import PROTOCOL_REGISTRY
from slowfast.engine.protocols.build import Result
from slowfast.engine.records import (
    Identity,
    Measurement,
    format_table,
    hash_config,
    hash_weights,
    identify,
    store_results,
)
from slowfast.models.build import build_model
from slowfast.models.weights import load_weights
from slowfast.utils.statistics import wilson_interval

DOCS = Path(__file__).parents[2] / "docs" / "results.md"
IDENTITY = Identity("kinetics", 2, "0123456789abcdef", "fedcba9876543210", 7)


def measured(value, chance=None, interval=None, count=None, **options):
    defaults = {"protocol": "p", "uses_model": True, "split": "test", "manifest": "m", "views": 30}
    return Measurement(result=Result(value, chance, interval, count), **(defaults | options))


def test_results_are_merged(tmp_path):
    store_results(tmp_path, {"a_r1": measured(0.25, 0.1)}, "before", IDENTITY)
    after = {"a_r1": measured(0.5, 0.1), "b": measured(1.0)}
    content = store_results(tmp_path, after, "after", IDENTITY)
    assert content["a_r1"] == {"before": 0.25, "chance": 0.1, "after": 0.5}
    assert content["b"] == {"after": 1.0, "chance": None}
    content = store_results(tmp_path, {"c": measured(0.2, 0.1)}, "value", IDENTITY)
    assert list(content) == ["format", "a_r1", "b", "c", "records"]
    assert content["format"] == 1
    assert json.loads((tmp_path / "results.json").read_text(encoding="utf-8")) == content


def test_a_file_without_records_is_gone_on_with(tmp_path):
    old = {"format": 1, "a": {"before": 0.1, "chance": 0.5}}
    (tmp_path / "results.json").write_text(json.dumps(old), encoding="utf-8")
    content = store_results(tmp_path, {"a": measured(0.6, 0.5)}, "after", IDENTITY)
    assert content["a"] == {"before": 0.1, "chance": 0.5, "after": 0.6}
    assert len(content["records"]) == 1


def test_a_record(tmp_path):
    content = store_results(tmp_path, {"a": measured(0.25, 0.1, count=40)}, "after", IDENTITY)
    low, high = wilson_interval(0.25, 40)
    assert content["records"] == [
        {
            "protocol": "p",
            "metric": "a",
            "column": "after",
            "value": 0.25,
            "chance": 0.1,
            "interval": [round(low, 6), round(high, 6)],
            "count": 40,
            "dataset": "kinetics",
            "split": "test",
            "fold": 2,
            "manifest": "m",
            "checkpoint": "0123456789abcdef",
            "config": "fedcba9876543210",
            "seed": 7,
            "views": 30,
        }
    ]


def test_a_new_result_replaces_its_record_alone(tmp_path):
    for column, value in (("before", 0.1), ("after", 0.2), ("after", 0.3)):
        store_results(tmp_path, {"a": measured(value), "b": measured(0.9)}, column, IDENTITY)
    content = store_results(tmp_path, {"a": measured(0.4, protocol="q")}, "after", IDENTITY)
    records = {(r["protocol"], r["metric"], r["column"]): r["value"] for r in content["records"]}
    assert records == {
        ("p", "a", "before"): 0.1,
        ("p", "b", "before"): 0.9,
        ("p", "a", "after"): 0.3,
        ("p", "b", "after"): 0.9,
        ("q", "a", "after"): 0.4,
    }
    assert len(content["records"]) == 5


def test_which_interval():
    assert measured(0.5).interval is None
    assert measured(0.5, count=10).interval == wilson_interval(0.5, 10)
    assert measured(0.5, interval=(0.4, 0.6), count=5).interval == (0.4, 0.6)


def test_what_needs_no_model_names_no_weights(tmp_path):
    content = store_results(tmp_path, {"a": measured(0.5, uses_model=False)}, "value", IDENTITY)
    assert content["records"][0]["checkpoint"] is None


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def test_weights_are_named_by_content():
    model = net()
    name = hash_weights(model)
    assert len(name) == 16
    assert hash_weights(net()) == name
    assert hash_weights(net(1)) != name
    model[1].running_mean[2] += 1e-7  # what is measured depends on the statistics too
    assert hash_weights(model) != name


def test_types_and_shapes_are_part_of_the_name():
    class Holder(nn.Module):
        def __init__(self, values):
            super().__init__()
            self.register_buffer("values", values)

    zeros = [torch.zeros(4), torch.zeros(2, 2), torch.zeros(4, dtype=torch.int32), torch.zeros(())]
    assert len({hash_weights(Holder(z)) for z in zeros}) == 4
    assert hash_weights(Holder(torch.zeros(4, dtype=torch.bfloat16)))
    turned = torch.arange(6.0).view(2, 3).T.contiguous().T
    assert hash_weights(Holder(turned)) == hash_weights(Holder(torch.arange(6.0).view(2, 3)))


def test_the_container_of_the_weights_does_not_matter(tmp_path):
    cfg = synthetic_cfg(tmp_path)
    torch.manual_seed(0)
    state = build_model(cfg).state_dict()
    names = set()
    for number, content in enumerate(
        (state, {"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3})
    ):
        torch.save(content, tmp_path / f"{number}.pth")
        model = build_model(cfg)
        load_weights(model, tmp_path / f"{number}.pth")
        names.add(identify(cfg, model, is_random=False).checkpoint)
    assert len(names) == 1


def test_a_wrapped_model_has_the_same_name(tmp_path):
    cfg = synthetic_cfg(tmp_path, "DATA.FOLD", 3, "RNG_SEED", 5)
    model, wrapped = net(), DistributedDataParallel.__new__(DistributedDataParallel)
    nn.Module.__init__(wrapped)  # not its own, which needs other processes
    wrapped.module = model
    for evaluated in (model, wrapped):
        identity = identify(cfg, evaluated, is_random=False)
        assert identity == ("synthetic", 3, hash_weights(model), hash_config(cfg), 5)
        assert identify(cfg, evaluated, is_random=True).checkpoint == "random"


WHERE = """OUTPUT_DIR elsewhere NUM_CPU_PROCESSES 3 NUM_THREADS 2 DIST_BACKEND gloo LOG_PERIOD 77
DATA_LOADER.NUM_WORKERS 5 DATA.PATH_TO_DATA_DIR mnt DATA.PATH_TO_SPLIT_DIR mnt DATA.PATH_PREFIX mnt
TRAIN.CHECKPOINT_FILE_PATH x.pyth TEST.CHECKPOINT_FILE_PATH x.pyth TENSORBOARD.ENABLE True
DEMO_SET.CACHE_DIR mnt""".split()
WHAT = """DATA.NUM_FRAMES 5 DATA.PATH_LABEL_SEPARATOR , AUDIO.PSF_COMPAT True SOLVER.BASE_LR 0.051
TEST.NUM_ENSEMBLE_VIEWS 9 PROBE.RANKS [1] RNG_SEED 9 DATA.FOLD 1 TRAIN.BATCH_SIZE 8
MVIT.REV.RES_PATH pool""".split()


def test_what_a_run_does_names_its_configuration_and_where_it_happens_does_not(tmp_path):
    before = hash_config(synthetic_cfg(tmp_path))
    for words, is_same in ((WHERE, True), (WHAT, False)):
        for key, value in zip(words[::2], words[1::2], strict=True):
            cfg = synthetic_cfg(tmp_path).clone()
            cfg.defrost()
            cfg.merge_from_list([key, value])
            assert (hash_config(cfg) == before) == is_same, key


def test_the_table(tmp_path):
    store_results(tmp_path, {"a_r1": measured(0.25, 0.1)}, "before", IDENTITY)
    after = {"a_r1": measured(0.5, 0.1, (0.4, 0.61)), "b": measured(1.0)}
    store_results(tmp_path, after, "after", IDENTITY)
    content = store_results(tmp_path, {"c": measured(0.2, 0.1)}, "value", IDENTITY)
    lines = format_table(content).splitlines()
    assert lines[0].split() == ["metric", "before", "after", "chance"]
    assert lines[2].split() == "a_r1 25.0 % 50.0 % [40.0, 61.0] 10.0 %".split()
    assert lines[3].split() == "b - 100.0 % -".split()
    assert lines[4].split() == "c - 20.0 % 10.0 %".split()
    assert len(lines) == 5
    assert len({len(line) for line in lines}) == 1


def test_the_table_of_a_file_without_records():
    content = {"made_by": "x", "format": 1, "a": {"before": 0.1, "after": 0.2, "chance": 0.5}}
    assert format_table(content).splitlines()[2].split() == "a 10.0 % 20.0 % 50.0 %".split()


def test_the_description_shows_what_is_written(tmp_path):
    text = DOCS.read_text(encoding="utf-8")
    shown = json.loads(re.search(r"```json\n(.*?)```", text, re.DOTALL)[1])
    content = store_results(tmp_path, {"a": measured(0.25, 0.1, count=40)}, "after", IDENTITY)
    assert {tuple(record) for record in shown["records"]} == {tuple(content["records"][0])}
    for key in content["records"][0]:
        assert f"`{key}`" in text, key
    for name in PROTOCOL_REGISTRY.names():
        assert f"| `{name}` |" in text, name
