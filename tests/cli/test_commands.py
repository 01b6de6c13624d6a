"""``slowfast``: subcommands, their help, and the commands without a module of their own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.media_files import Audio, Video, write_media
from helpers.synthetic import synthetic_cfg

from slowfast.cli import eval_job, test_run
from slowfast.cli.eval_weights import parse_arguments as parse_eval
from slowfast.cli.main import COMMANDS, main
from slowfast.engine.trainer import Trainer
from slowfast.inference.load import find_weights, load_inference_config
from slowfast.utils.io import read_json

ROOT = Path(__file__).parents[2]
SLOW = ("torch", "numpy", "av", "cv2", "pyarrow", "jinja2")


def test_help_and_mistakes(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in COMMANDS)
    assert main([]) == 2
    assert main(["--version"]) == 0
    capsys.readouterr()
    assert main(["trian"]) == 2
    assert "Did you mean 'train'?" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_is_fast_and_has_examples(name):
    code = (
        "import sys\nfrom slowfast.cli.main import main\n"
        f"try:\n    main(['{name}', '--help'])\nexcept SystemExit as e:\n    assert not e.code\n"
        f"print('IMPORTED', sorted(set({SLOW}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"slowfast {name}" in done.stdout
    assert "examples:" in done.stdout
    pages = re.findall(r"[\w/]+\.md", done.stdout)
    assert pages
    assert [page for page in pages if not (ROOT / page).is_file()] == []
    assert "IMPORTED []" in done.stdout


def test_python_m_slowfast():
    done = subprocess.run(
        [sys.executable, "-m", "slowfast", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("slowfast-stica ")


def test_configs(capsys):
    assert main(["configs", "stica", "ucf101", "fine"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("StiCA/finetune_UCF101.yaml  ") for line in lines)
    assert all(len(line) < 170 for line in lines)
    assert main(["configs", "r2plus1d_18"]) == 0
    assert "\n\n" in capsys.readouterr().out  # an empty line between folders
    assert main(["configs", "no such words"]) == 2
    assert main(["configs", "show", "UCF101/R2PLUS1D_18.yaml"]) == 0
    assert "BATCH_SIZE" in capsys.readouterr().out
    assert main(["configs", "show", "UCF101/R2PLUS1D_18.yaml", "--merged"]) == 0
    assert "CHECKPOINT_PERIOD_MIN: 15.0" in capsys.readouterr().out


def test_a_run_is_tested_again_by_its_folder(tmp_path, capsys):
    cfg = synthetic_cfg(tmp_path, "SOLVER.MAX_EPOCH", 1, "PROJECTS", "['helpers.synthetic']")
    Trainer(cfg, torch.device("cpu")).train()
    (tmp_path / "config.yaml").write_text(cfg.dump())
    assert main(["test", str(tmp_path)]) == 0
    assert read_json(tmp_path / "results.json")["records"]
    assert main(["test", str(tmp_path / "checkpoints")]) == 2
    assert "is not the OUTPUT_DIR of a run" in capsys.readouterr().err


def test_test_keeps_the_switches_that_were_given(monkeypatch):
    started = []
    monkeypatch.setattr(test_run, "run_net", lambda words, program: started.append(words) or 0)
    assert main(["test", "--cfg", "x.yaml", "TRAIN.ENABLE", "True"]) == 0
    assert started == [["--cfg", "x.yaml", "TRAIN.ENABLE", "True", "TEST.ENABLE", "True"]]


def test_a_run_without_a_checkpoint_is_not_tested(tmp_path, capsys):
    cfg = synthetic_cfg(tmp_path, "PROJECTS", "['helpers.synthetic']")
    (tmp_path / "config.yaml").write_text(cfg.dump())
    for command in ("test", "eval"):
        assert main([command, str(tmp_path)]) == 2
        assert "checkpoint" in capsys.readouterr().err


def test_weights_of_eval_are_a_word_or_a_key(capsys):
    key = ["TEST.CHECKPOINT_FILE_PATH", "w.pyth"]
    found = parse_eval(["--cfg", "x.yaml", "NUM_GPUS", "0", *key])
    assert (found.source, found.overrides) == ("w.pyth", ["NUM_GPUS", "0"])
    found = parse_eval(["out", "--data", "videos", "NUM_GPUS", "0"])
    assert (found.source, found.overrides) == ("out", ["NUM_GPUS", "0"])
    with pytest.raises(SystemExit):
        parse_eval(["--cfg", "x.yaml", "NUM_GPUS", "0"])
    assert "TEST.CHECKPOINT_FILE_PATH" in capsys.readouterr().err


@pytest.mark.slow
def test_eval_chooses_protocols_by_the_labels(tmp_path, capsys):
    for number in range(4):
        path = tmp_path / "plain" / f"{number}.mp4"
        path.parent.mkdir(exist_ok=True)
        write_media(path, Video(ticks=range(90)), Audio(seconds=3.0))
        for split in ("train", "test"):
            copy = tmp_path / "labeled" / split / "ab"[number % 2] / path.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    found = {}
    for name in ("plain", "labeled"):
        out = tmp_path / f"out_{name}"
        words = ["--data", str(tmp_path / name), "-o", str(out), "DATA_LOADER.NUM_WORKERS", "0"]
        assert main(["eval", "zoo://stica-demo", *words]) == 0
        assert "; zoo://stica-demo; " in (out / "stdout.log").read_text().splitlines()[0]
        found[name] = set(read_json(out / "results.json")) - {"format", "records", "details"}
    assert {"video_to_audio_r1", "av_sync"} <= found["plain"]
    assert not any(name.startswith("class") for name in found["plain"])
    assert {"class_retrieval_r1", "linear_probe_top1", "av_sync"} <= found["labeled"]
    out = tmp_path / "out_labeled"
    words = ["--data", str(tmp_path / "plain"), "-o", str(out), "DATA_LOADER.NUM_WORKERS", "0"]
    assert main(["eval", "zoo://stica-demo", *words]) == 0  # of other data: nothing is mixed
    assert not any(name.startswith("class") for name in read_json(out / "results.json"))
    assert "class_retrieval_r1" in read_json(out / "results.replaced_1.json")
    assert main(["eval", "zoo://stica-demo", "--data", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err


@pytest.mark.parametrize("names", [["7", "8"], ["a", "b"], ["c", "d", "e"]])
def test_eval_of_a_few_videos_without_labels_tests_all(names, tmp_path):
    data = tmp_path / "few"
    for name in names:
        (data / name).parent.mkdir(exist_ok=True)
        write_media(data / f"{name}.mp4", Video(ticks=range(4)), Audio(seconds=0.2))
    words = ["TEST.DATASET", "video_folder", "DATA.PATH_TO_DATA_DIR", str(data)]
    cfg = load_inference_config(find_weights("zoo://stica-demo", None), words)
    chosen = eval_job._with_protocols(cfg, None, has_fraction=False)
    assert chosen.DATA.FOLDER_TEST_FRACTION == 1.0
    assert list(chosen.TEST.PROTOCOLS) == ["cross_modal_retrieval", "av_sync"]
    kept = eval_job._with_protocols(cfg, ["av_sync"], has_fraction=True)
    assert kept.DATA.FOLDER_TEST_FRACTION == cfg.DATA.FOLDER_TEST_FRACTION < 1


def test_eval_says_that_training_videos_are_tested(tmp_path, caplog):
    words = ["DATA.PATH_TO_DATA_DIR", str(tmp_path), "DATA.FOLDER_TEST_FRACTION", "1.0"]
    cfg = load_inference_config(find_weights("zoo://stica-demo", None), words)
    eval_job._tell_overlap(cfg, str(tmp_path / "other"))
    assert not caplog.records
    eval_job._tell_overlap(cfg, str(tmp_path / "." / ""))
    assert "were trained on most of the videos" in caplog.text
    caplog.clear()
    (tmp_path / "test").mkdir()  # splits: nothing of training is tested
    eval_job._tell_overlap(cfg, str(tmp_path))
    assert not caplog.records


def test_every_command_is_listed_once_and_exists():
    from importlib.util import find_spec

    modules = [command.module for command in COMMANDS.values()]
    assert len(set(modules)) == len(modules)
    assert all(find_spec(name) for name in modules)
