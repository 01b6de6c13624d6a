"""tests/campaigns/yaml_compat.py on shipped YAMLs, and with what PySlowFast's own files add."""

import json
import os
import sys
from pathlib import Path

import pytest

from slowfast.config.paths import shipped_configs

ROOT = shipped_configs()
sys.path.insert(0, str(Path(__file__).parents[1] / "campaigns"))
import yaml_compat  # noqa: E402

# A shipped YAML, and words that PySlowFast's own file of that name, or its users, add.
OVERRIDES = [
    ("Kinetics/SLOWFAST_8x8_R50_stepwise", "SOLVER.LRS [1,0.1,0.01,0.001,0.0001,0.00001]"),
    ("SSv2/SLOWFAST_16x8_R50", "SOLVER.STEPS [0,14,18] SOLVER.LRS [1,0.1,0.01,0.001,0.0001]"),
    ("Kinetics/pytorchvideo/SLOW_8x8_R50", "TRAIN.DATASET ptvkinetics TEST.DATASET Ptvkinetics"),
    ("SSv2/pytorchvideo/SLOW_8x8_R50", "TRAIN.DATASET ptvssv2 TEST.DATASET ptvssv2"),
    ("Kinetics/X3D_S", "DATA.DECODING_BACKEND torchvision BN.NUM_SYNC_DEVICES 4"),
    ("Kinetics/X3D_M", "NUM_SHARDS 8 SOLVER.BASE_LR_SCALE_NUM_SHARDS True"),
    ("masked_ssl/k400_VIT_B_16x4_FT", "TEST.NUM_TEMPORAL_CLIPS [5,7,10]"),
    ("masked_ssl/in1k_VIT_B_MaskFeat_FT", "TRAIN.DATASET imagenet TEST.DATASET imagenet"),
    ("Kinetics/C2D_8x8_R50", "MODEL.ARCH 2d DATA.NUM_FRAMES 1 TRAIN.DATASET imagenet"),
    ("contrastive_ssl/linear_k400_Slow_8x8_R50_syn0", "TRAIN.CHECKPOINT_FILE_PATH ''"),
    ("Kinetics/c2/SLOW_8x8_R50", "AUG.ENABLE True SOLVER.STEPS [0,1] TRAIN.DATASET ava"),
]
RUN = [
    ("Kinetics/X3D_XS", ""),
    ("SSv2/pytorchvideo/SLOW_8x8_R50", "TRAIN.DATASET ptvssv2 TEST.DATASET ptvssv2"),
    (
        "masked_ssl/in1k_VIT_B_MaskFeat_FT",
        "TRAIN.DATASET imagenet TEST.DATASET imagenet TEST.ENABLE True MVIT.DEPTH 2",
    ),
    ("Kinetics/c2/SLOW_4x16_R50", "TEST.NUM_TEMPORAL_CLIPS [5,7,10]"),
]


def run(tmp_path, capfd, name, words, stage):
    out = tmp_path / "rows.json"
    command = [str(ROOT), "--only", name, "--stage", stage, "--json", str(out), *words.split()]
    status = yaml_compat.main(command)
    (row,) = json.loads(out.read_text(encoding="utf-8"))["rows"]
    assert row["result"] == yaml_compat.DONE[stage], row
    assert status == 0
    assert f"1 {row['result']}, 0 refused, 0 failed of 1" in capfd.readouterr().out
    return row


@pytest.mark.slow
@pytest.mark.parametrize(("name", "words"), OVERRIDES)
def test_what_pyslowfasts_files_add_loads_and_builds(name, words, tmp_path, capfd):
    run(tmp_path, capfd, name, words, "build")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "words"), RUN)
def test_it_trains_two_steps_and_tests(name, words, tmp_path, capfd):
    run(tmp_path, capfd, name, words, "run")


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["Kinetics/*MV*", "SSv2/*", "contrastive_ssl/*", "masked_ssl/*"])
def test_shipped_yamls_load_and_build(folder, capfd):
    assert yaml_compat.main([str(ROOT), "--only", folder, "--stage", "build"]) == 0
    assert ", 0 refused, 0 failed of " in capfd.readouterr().out


def write(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return str(folder)


SMALL = "MODEL: {MODEL_NAME: VideoResNet, ARCH: r3d_18}\n"


def test_rows_say_what_is_refused_and_what_is_not_yaml(tmp_path, capfd):
    files = {
        "a": SMALL,
        "b": SMALL + "DETECTION: {ENABLE: True}\n",
        "c": "A:\n  B: 1\nC: 2\n  D: 3\n",
    }
    out = tmp_path / "out.json"
    folder = write(tmp_path, **files)
    assert yaml_compat.main([folder, "--stage", "load", "--json", str(out)]) == 0
    text = capfd.readouterr().out
    assert "| b | refused: DETECTION.ENABLE | DETECTION.ENABLE: got True, but this is" in text
    assert "| c | refused:  | c.yaml is not valid YAML" in text
    assert "1 loads, 2 refused, 0 failed of 3" in text
    rows = {row["yaml"]: row for row in json.loads(out.read_text(encoding="utf-8"))["rows"]}
    assert rows["b"]["keys"] == ["DETECTION.ENABLE"]


def test_a_finished_row_is_not_run_again_unless_it_changed(tmp_path, monkeypatch):
    out, folder = tmp_path / "out.json", write(tmp_path, a=SMALL)
    command = [folder, "--stage", "load", "--json", str(out)]
    assert yaml_compat.main(command) == 0
    seen = []

    def examine(path, *rest):
        seen.append(path.name)
        return {"result": "loads"}

    monkeypatch.setattr(yaml_compat, "in_a_process", lambda run: run())
    monkeypatch.setattr(yaml_compat, "examine", examine)
    assert yaml_compat.main(command) == 0
    assert seen == []
    assert yaml_compat.main([*command, "SOLVER.BASE_LR", "0.2"]) == 0
    write(tmp_path, a=SMALL + "RNG_SEED: 3\n")
    assert yaml_compat.main(command) == 0
    assert seen == ["a.yaml", "a.yaml"]


def test_a_crash_is_a_row_and_status_1(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(yaml_compat, "examine", lambda *_: os._exit(7))
    assert yaml_compat.main([write(tmp_path, a=SMALL), "--stage", "load"]) == 1
    assert "| a | failed | the process ended with 7 |" in capfd.readouterr().out


def test_nothing_to_run_is_a_mistake(tmp_path):
    with pytest.raises(SystemExit) as caught:
        yaml_compat.main([str(tmp_path)])
    assert caught.value.code == 2
