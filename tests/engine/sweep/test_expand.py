"""Which runs a sweep has, what they are called, what they need and what is shared."""

import re
from pathlib import Path

import pytest
from helpers.sweeps import STAGES, runs_of, write_sweep

from slowfast.config import UserError
from slowfast.config.paths import find_config
from slowfast.engine.sweep.expand import expand
from slowfast.engine.sweep.schema import load_sweep

PLAIN = "cfg: a.yaml\noutput_dir: out\n"


def names(runs):
    return [run.name for run in runs]


def options(run):
    return dict(zip(run.argv[3::2], run.argv[4::2], strict=True))


def test_what_a_run_needs_stands_before_it(tmp_path):
    text = STAGES.replace("cfg: b.yaml", "cfg: b.yaml\n    seeds: [2, 1]")
    for runs in (runs_of(tmp_path, STAGES), runs_of(tmp_path, text)):
        place = {run.name: number for number, run in enumerate(runs)}
        assert all(place[need] < place[r.name] for r in runs for need in r.needs.values())
        assert len(runs) == 6


def test_one_run(tmp_path):
    (run,) = runs_of(tmp_path, PLAIN)
    folder = tmp_path / "out/run"
    assert (run.name, run.cfg, run.overrides, run.variant) == ("run", "a.yaml", {}, {})
    assert run.folder == folder
    assert run.argv == ["--cfg", "a.yaml", "--opts", "OUTPUT_DIR", str(folder)]


def test_a_grid_with_seeds_and_folds_has_every_combination_once(tmp_path):
    text = PLAIN + "grid: {A.B: [1, 2], p: {x: {}, y: {C.D: 3}}}\nseeds: [7, 8]\nfolds: [1, 2, 3]\n"
    runs = runs_of(tmp_path, text)
    assert len(set(names(runs))) == len(runs) == 2 * 2 * 2 * 3
    run = next(run for run in runs if run.name == "A.B=2,p=y/seed_8/fold_3")
    assert run.overrides == {"A.B": 2, "C.D": 3, "RNG_SEED": 8, "DATA.FOLD": 3}
    assert (run.variant, run.seed, run.fold) == ({"A.B": "2", "p": "y"}, 8, 3)


def test_an_axis_wins_over_the_stage_and_over_all(tmp_path):
    text = PLAIN + "overrides: {A.B: 1, A.C: 1}\nruns: {x: {A.B: 2}, y: {cfg: b.yaml}}\n"
    x, y = runs_of(tmp_path, text)
    assert (x.cfg, x.overrides) == ("a.yaml", {"A.B": 2, "A.C": 1})
    assert (y.cfg, y.overrides) == ("b.yaml", {"A.B": 1, "A.C": 1})


def test_pretraining_is_shared_by_the_folds(tmp_path):
    runs = runs_of(tmp_path, STAGES)
    assert names(runs) == [
        "pretrain/seed_1",
        "finetune/seed_1/fold_1",
        "finetune/seed_1/fold_2",
        "pretrain/seed_2",
        "finetune/seed_2/fold_1",
        "finetune/seed_2/fold_2",
    ]
    assert [dict(run.needs) for run in runs if run.stage == "finetune"] == [
        {"pretrain": f"pretrain/seed_{seed}"} for seed in (1, 1, 2, 2)
    ]
    assert "DATA.FOLD" not in runs[0].overrides
    checkpoint = options(runs[1])["TRAIN.CHECKPOINT_FILE_PATH"]
    assert checkpoint == str(tmp_path / "out/pretrain/seed_1")


def test_an_axis_of_a_later_stage_does_not_repeat_an_earlier_one(tmp_path):
    text = STAGES + "grid: {finetune.SOLVER.BASE_LR: [1, 2], pretrain.A.B: [3, 4]}\n"
    runs = runs_of(tmp_path, text)
    pretrain = [run for run in runs if run.stage == "pretrain"]
    assert len(pretrain) == 2 * 2  # A.B and seeds
    finetune = [run for run in runs if run.stage == "finetune"]
    assert len(finetune) == 2 * 2 * 2 * 2
    for run in finetune:  # what differs in the checkpoint differs in the variant
        assert f"pretrain.A.B={run.variant['pretrain.A.B']}" in run.needs["pretrain"]
        assert run.overrides["SOLVER.BASE_LR"] == int(run.variant["finetune.SOLVER.BASE_LR"])
        assert "A.B" not in run.overrides


def test_equal_commands_are_run_once_and_stand_for_both_variants(tmp_path):
    """Random weights do not know how the pre-training they ignore was done."""
    text = """
output_dir: out
stages: {pretrain: a.yaml, probe: b.yaml}
grid:
  pretrain.A.B: [1, 2]
  weights:
    pretrained: {probe.X: "{pretrain.checkpoint}"}
    random: {probe.X: random}
seeds: [1, 2]
"""
    runs = [run for run in runs_of(tmp_path, text) if run.stage == "probe"]
    assert len(runs) == 8
    assert len(set(names(runs))) == 6
    random = [run for run in runs if run.variant["weights"] == "random"]
    assert all(not run.needs for run in random)
    assert [run.variant["pretrain.A.B"] for run in random] == ["1", "2", "1", "2"]
    assert random[0].name == random[1].name != random[2].name == random[3].name


def test_equal_commands_of_two_seeds_stay_two(tmp_path):
    """One measurement must not count as two independent ones."""
    text = """
output_dir: out
stages: {pretrain: a.yaml, probe: {cfg: b.yaml, seeds: []}}
grid: {weights: {pretrained: {probe.X: "{pretrain.dir}"}, random: {probe.X: random}}}
seeds: [1, 2]
"""
    runs = [run for run in runs_of(tmp_path, text) if run.stage == "probe"]
    assert len(set(names(runs))) == 4
    assert all("RNG_SEED" not in run.overrides for run in runs)


def test_values_and_placeholders_on_the_command_line(tmp_path):
    text = """seeds: [4]
folds: [2]
overrides:
  A: ["{stage_dir}/x", "{seed}"]
  B: "{output_dir}/{fold}-{seed}{}"
  C: true
  D: 1.0e-05
  E: [1, 2.5]
  F: ""
  G: [[1, 2], [3]]
"""
    found = options(runs_of(tmp_path, PLAIN + text)[0])
    assert list(found) == [*"ABCDEFG", "RNG_SEED", "DATA.FOLD", "OUTPUT_DIR"]
    out = tmp_path / "out"
    assert found["A"] == f'["{out}/seed_4/fold_2/x", "4"]'
    values = [f"{out}/2-4{{}}", "True", "1e-05", "[1, 2.5]", "", "[[1, 2], [3]]"]
    assert [found[key] for key in "BCDEFG"] == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAIN + "overrides: {A: '{sed}'}\n", "A: no placeholder '{sed}' here"),
        (PLAIN + "overrides: {A: '{sed}'}\n", "Did you mean 'seed'?"),
        (STAGES + "grid: {pretrain.A: ['{finetune.dir}']}\n", "'{finetune.dir}' here"),
        (STAGES + "grid: {finetune.A: ['{pretrain.chekpoint}']}\n", "'pretrain.checkpoint'?"),
        (
            STAGES.replace("cfg: a.yaml,", "cfg: a.yaml, seeds: [1],"),
            "stages.finetune.seeds: uses pretrain, which has no seeds [2]",
        ),
        (
            STAGES.replace("folds: []", "folds: [2, 3]"),
            "stages.finetune.folds: uses pretrain, which has no folds [1]",
        ),
    ],
)
def test_stages_that_do_not_fit(tmp_path, text, message):
    with pytest.raises(UserError) as caught:
        runs_of(tmp_path, text)
    assert message in str(caught.value)


def sweeps_that_users_see():
    root = Path(__file__).parents[3]
    blocks = re.findall(r"```yaml\n(.*?)```", (root / "docs/sweeps.md").read_text("utf-8"), re.S)
    yield from (pytest.param(b, id=f"docs-{n}") for n, b in enumerate(blocks) if "output_dir" in b)
    for path in sorted((root / "configs").glob("*/sweeps/[!_]*.yaml")):  # _*.yaml: bases of others
        yield pytest.param(path, id=path.name)


@pytest.mark.parametrize("sweep", list(sweeps_that_users_see()))
def test_the_examples_expand(tmp_path, sweep):
    path = write_sweep(tmp_path, sweep) if isinstance(sweep, str) else str(sweep)
    runs = expand(load_sweep(path))
    assert len({run.name for run in runs}) > 1
    for run in runs:
        assert find_config(run.cfg).is_file()
