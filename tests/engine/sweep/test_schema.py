"""A sweep's YAML: what it may say, and one clear message for what it may not."""

import pytest
from helpers.sweeps import STAGES, write_sweep

from slowfast.config import UserError
from slowfast.engine.sweep.schema import load_sweep

PLAIN = "cfg: a.yaml\noutput_dir: out\n"


def load(folder, text, *words):
    return load_sweep(write_sweep(folder, text), words)


def test_the_least(tmp_path):
    sweep = load(tmp_path, PLAIN)
    assert [stage.cfg for stage in sweep.stages] == ["a.yaml"]
    assert (str(sweep.output_dir), sweep.axes, sweep.jobs, sweep.slurm) == ("out", (), 1, None)
    assert (sweep.metrics, sweep.compare) == ((), {})


def test_everything(tmp_path):
    text = (
        PLAIN
        + """
overrides: {TRAIN: {BATCH_SIZE: 4}, SOLVER.MAX_EPOCH: 2}
grid:
  pooling:
    avg: {MODEL.POOLING: avg}
    transformer: {MODEL.POOLING: transformer}
  SOLVER.BASE_LR: [0.1, 1e-2]
  TEST.PROTOCOLS: [[knn, few_shot], [knn]]
seeds: [0, 5]
folds: [1]
metrics: top1_acc
compare: {pooling: avg, SOLVER.BASE_LR: 0.1}
jobs: 3
slurm: {timeout_min: 60}
"""
    )
    sweep = load(tmp_path, text)
    (stage,) = sweep.stages
    assert stage.overrides == {"TRAIN.BATCH_SIZE": 4, "SOLVER.MAX_EPOCH": 2}
    assert (stage.seeds, stage.folds) == ((0, 5), (1,))
    assert [list(axis.bundles) for axis in sweep.axes] == [
        ["avg", "transformer"],
        ["0.1", "1e-2"],
        ["knn+few_shot", "knn"],
    ]
    assert sweep.axes[0].bundles["avg"] == {"": {"MODEL.POOLING": "avg"}}
    assert sweep.axes[2].bundles["knn"] == {"": {"TEST.PROTOCOLS": ["knn"]}}
    assert sweep.compare == {"pooling": "avg", "SOLVER.BASE_LR": "0.1"}
    assert (sweep.metrics, sweep.jobs, sweep.slurm) == (("top1_acc",), 3, {"timeout_min": 60})


def write_base(folder, text, name="base.yaml"):
    (folder / name).write_text(text)


def test_a_metric_of_an_earlier_version_has_todays_name(tmp_path, caplog):
    sweep = load(tmp_path, PLAIN + "metrics: [top1_acc, alignment]\n")
    assert sweep.metrics == ("top1_acc", "av_sync")
    (record,) = caplog.records
    assert record.getMessage().endswith("metrics alignment is called av_sync now")


def test_a_base_is_what_a_sweep_starts_from(tmp_path):
    write_base(
        tmp_path, PLAIN + "seeds: [1, 2]\noverrides: {SOLVER: {MAX_EPOCH: 2, BASE_LR: 0.1}}\n"
    )
    own = "_BASE_: base.yaml\nseeds: [3]\noverrides: {SOLVER.BASE_LR: 0.2, LOG_PERIOD: 5}\n"
    sweep = load(tmp_path, own)
    (stage,) = sweep.stages
    assert (str(sweep.output_dir), stage.cfg, stage.seeds) == ("out", "a.yaml", (3,))
    assert stage.overrides == {"SOLVER.MAX_EPOCH": 2, "SOLVER.BASE_LR": 0.2, "LOG_PERIOD": 5}


def test_a_base_may_have_one_and_overrides_that_are_none_are_told(tmp_path):
    write_base(tmp_path, "_BASE_: first.yaml\nseeds: [4]\n")
    write_base(tmp_path, PLAIN + "jobs: 3\n", "first.yaml")
    sweep = load(tmp_path, "_BASE_: base.yaml\n")
    assert (sweep.jobs, sweep.stages[0].seeds) == (3, (4,))
    with pytest.raises(UserError, match="overrides"):
        load(tmp_path, "_BASE_: base.yaml\noverrides: 3\n")


def test_bases_that_do_not_work(tmp_path):
    with pytest.raises(UserError, match=r"_BASE_: no file .*gone.yaml; paths start at"):
        load(tmp_path, PLAIN + "_BASE_: gone.yaml\n")
    write_base(tmp_path, "_BASE_: sweep.yaml\n")
    with pytest.raises(UserError, match="by its own _BASE_, based on this"):
        load(tmp_path, PLAIN + "_BASE_: base.yaml\n")


def test_several_configs_and_named_runs_are_axes(tmp_path):
    text = "cfg: [x/a.yaml, x/b.yaml]\noutput_dir: out\ncompare: a\n"
    sweep = load(tmp_path, text)
    assert sweep.axes[0].bundles == {"a": {"": {"cfg": "x/a.yaml"}}, "b": {"": {"cfg": "x/b.yaml"}}}
    assert sweep.compare == {"cfg": "a"}
    text = "output_dir: out\nruns:\n  ours: {cfg: a.yaml}\n  base: {cfg: b.yaml, NUM_GPUS: 0}\n"
    sweep = load(tmp_path, text + "compare: base\n")
    assert sweep.axes[0].bundles["base"] == {"": {"cfg": "b.yaml", "NUM_GPUS": 0}}
    assert sweep.compare == {"run": "base"}


def test_a_stage_has_its_own(tmp_path):
    text = STAGES + "overrides: {NUM_GPUS: 0, pretrain.SOLVER.MAX_EPOCH: 9}\n"
    sweep = load(tmp_path, text, "finetune.SOLVER.MAX_EPOCH", "3", "NUM_THREADS", "1")
    pretrain, finetune = sweep.stages
    assert pretrain.overrides == {"NUM_GPUS": 0, "SOLVER.MAX_EPOCH": 9, "NUM_THREADS": "1"}
    assert finetune.overrides == {
        "NUM_GPUS": 0,
        "TRAIN.CHECKPOINT_FILE_PATH": "{pretrain.checkpoint}",
        "SOLVER.MAX_EPOCH": "3",
        "NUM_THREADS": "1",
    }
    assert (pretrain.seeds, pretrain.folds, finetune.folds) == ((1, 2), (), (1, 2))


def test_on_and_off_are_names(tmp_path):
    text = PLAIN + "grid: {crops: {on: {A.B: true}, off: {A.B: false}}}\ncompare: {crops: off}\n"
    sweep = load(tmp_path, text)
    assert sweep.axes[0].bundles == {"on": {"": {"A.B": True}}, "off": {"": {"A.B": False}}}
    assert sweep.compare == {"crops": "off"}


def test_merge_keys(tmp_path):
    text = PLAIN + "runs:\n  a: &base {A.B: 1, A.C: 2}\n  b: {<<: *base, A.C: 3}\n"
    assert load(tmp_path, text).axes[0].bundles["b"] == {"": {"A.B": 1, "A.C": 3}}


def test_compare_with_a_variant_of_a_grid(tmp_path):
    grid = PLAIN + "grid: {A.B: [1, 2], A.C: [x/y, z]}\n"
    sweep = load(tmp_path, grid + "compare: A.B=1,A.C=z\n")
    assert sweep.compare == {"A.B": "1", "A.C": "z"}
    assert load(tmp_path, grid + "compare: {A.C: x/y}\n").compare == {"A.C": "x_y"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("output_dir: out\n", "cfg: is missing"),
        ("cfg: a.yaml\n", "output_dir: got None, expected the folder to write to"),
        (PLAIN + "seed: [1]\n", "Did you mean 'seeds'?"),
        (PLAIN + "seeds: 5\n", "seeds: got 5, expected a list of different whole numbers from 0"),
        (PLAIN + "seeds: [1, true]\n", "seeds: got [1, True], expected"),
        (PLAIN + "seeds: [1, 1]\n", "seeds: got [1, 1], expected a list of different"),
        (
            PLAIN + "folds: [0]\n",
            "folds: got [0], expected a list of different whole numbers from 1",
        ),
        (PLAIN + "jobs: 0\n", "jobs: got 0, expected a number of processes"),
        (PLAIN + "slurm: 5\n", "slurm: got 5, expected submitit's parameters"),
        (PLAIN + "metrics: [1]\n", "metrics: got [1], expected a string or a list of strings"),
        (PLAIN + "overrides: [A, 1]\n", "overrides: got ['A', 1], expected KEY: value lines"),
        (PLAIN + "overrides: {A.B: }\n", "overrides.A.B: got None, expected a number"),
        (PLAIN + "overrides: {A.B: 2020-01-01}\n", "expected a number, a string or a list"),
        (PLAIN + "overrides: {OUTPUT_DIR: x}\n", "overrides.OUTPUT_DIR: the sweep sets it"),
        (PLAIN + "overrides: {probe.A: 1}\n", "overrides.probe.A: no stage 'probe'"),
        (PLAIN + "seeds: [1]\noverrides: {RNG_SEED: 2}\n", "RNG_SEED: is set besides seeds"),
        (PLAIN + "folds: [1]\ngrid: {DATA.FOLD: [1]}\n", "DATA.FOLD: is set besides folds"),
        (PLAIN + "grid: [A]\n", "grid: got ['A'], expected KEY: [value, value] lines"),
        (PLAIN + "grid: {A.B: 1}\n", "grid.A.B: got 1, expected a list of values"),
        (PLAIN + "grid: {A.B: [1, '1']}\n", "have no distinct names"),
        (PLAIN + "grid: {A.B: ['/']}\n", "have no distinct names"),
        (PLAIN + "grid: {p: {}}\n", "grid.p: got {}, expected a list of values, or NAME: {KEY"),
        (PLAIN + "grid: {p: {a b: {A: 1}}}\n", "grid.p: 'a b': a name is letters"),
        (PLAIN + "grid: {p: {a: {A.B: 1}}, A.B: [1]}\n", "A.B: is set by two axes, p and A.B"),
        (PLAIN + f"grid: {{A.B: [{'x' * 200}]}}\n", "is too long for a folder"),
        (PLAIN + "runs: [a, b]\n", "runs: got ['a', 'b'], expected NAME: {KEY: value} lines"),
        (PLAIN + "runs: {a: 5}\n", "runs.a: got 5, expected KEY: value lines"),
        (
            "cfg: [x/a.yaml, y/a.yaml]\noutput_dir: o\n",
            "cfg: the values ['x/a.yaml', 'y/a.yaml'] have no distinct names",
        ),
        ("cfg: 5\noutput_dir: o\n", "cfg: got 5, expected a string or a list of strings"),
        ("runs: {a: {cfg: a.yaml}, b: {}}\noutput_dir: o\n", "cfg: is missing"),
        (PLAIN + "grid: {A.B: [1]}\ncompare: {A.C: 1}\n", "compare: no axis 'A.C'"),
        (PLAIN + "grid: {A.B: [1]}\ncompare: {A.B: 2}\n", "compare: no value of A.B '2'"),
        (PLAIN + "compare: x\n", "compare: no variant 'x'"),
        (STAGES + "cfg: a.yaml\n", "cfg: is set besides stages"),
        ("output_dir: o\nstages: [a]\n", "stages: got ['a'], expected NAME: {cfg: X.yaml} lines"),
        ("output_dir: o\nstages: {Pre: a.yaml}\n", "stages.Pre: a name is lower-case letters"),
        ("output_dir: o\nstages: {a: 5}\n", "stages.a: got 5, expected cfg: X.yaml"),
        ("output_dir: o\nstages: {a: {}}\n", "stages.a.cfg: is missing"),
        ("output_dir: o\nstages: {a: {cfg: x.yaml, fold: [1]}}\n", "Did you mean 'folds'?"),
        ("- a\n", "must hold 'key: value' lines"),
        ("a: [\n", "is not valid YAML"),
        (PLAIN + "cfg: b.yaml\n", "duplicate key 'cfg' in line 3"),
    ],
)
def test_a_mistake_is_one_message(tmp_path, text, message):
    with pytest.raises(UserError) as caught:
        load(tmp_path, text)
    assert message in str(caught.value)


def test_all_mistakes_at_once(tmp_path):
    with pytest.raises(UserError, match=r"3 problems in .*sweep\.yaml"):
        load(tmp_path, PLAIN + "jobs: 0\nseeds: 1\nx: 1\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("A.B",), "A.B: has no value: overrides come in pairs"),
        (("A.B", "5"), "A.B: is given on the command line, but varies"),
        (("OUTPUT_DIR", "x"), "OUTPUT_DIR: the sweep sets it"),
    ],
)
def test_a_mistake_on_the_command_line(tmp_path, words, message):
    with pytest.raises(UserError) as caught:
        load(tmp_path, PLAIN + "grid: {A.B: [1, 2]}\n", *words)
    assert message in str(caught.value)


def test_no_such_file():
    with pytest.raises(UserError, match=r"--sweep: no such file: nowhere\.yaml"):
        load_sweep("nowhere.yaml")
