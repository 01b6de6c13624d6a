"""Publishing weights on a tiny model: export, evaluate, keep the results, verify."""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import torch
import yaml
from helpers.synthetic import OVERRIDES
from helpers.weights_package import PACKAGE, make_package, register_package

from slowfast.cli import run_net
from slowfast.cli.export_weights import main, parse_arguments
from slowfast.utils.statistics import wilson_interval

ROOT = Path(__file__).parents[2]
FACTS = ["--data", "noise", "--license", "CC0", "--metric", "top1_acc", "--command", "make noise"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished training, with its results."""
    folder = tmp_path_factory.mktemp("run")
    config = folder / "x.yaml"
    config.write_text("TASK: ''\n", encoding="utf-8")
    out = folder / "out"
    words = [*OVERRIDES.split(), "TRAIN.CHECKPOINT_PERIOD", "1", "OUTPUT_DIR", str(out)]
    assert run_net.main(["--cfg", str(config), *words]) == 0
    return out


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where tiny-net is published."""
    return make_package(tmp_path, monkeypatch) / "tiny-net"


def export(run, folder, *words):
    return main(["--checkpoint", str(run), "--out", str(folder), *FACTS, *words])


def evaluate(out):
    config = f"package://{PACKAGE}/tiny-net/evaluate.yaml"
    assert run_net.main(["--cfg", config, "OUTPUT_DIR", str(out)]) == 0


def load(folder):
    return torch.load(folder / f"{folder.name}.pyth", weights_only=True)


def read_results(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_from_a_run_to_verified_weights(run, folder, tmp_path, capsys):
    assert export(run, folder) == 0
    text = capsys.readouterr().out
    assert f"run_net.py --cfg {folder}/evaluate.yaml" in text  # what to do next
    register_package()
    evaluate(tmp_path / "evaluated")
    assert main(["--results", str(tmp_path / "evaluated"), "--out", str(folder)]) == 0
    assert read_results(folder) == read_results(tmp_path / "evaluated")
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert f"| `top1_acc` | {100 * read_results(folder)['top1_acc']['after']:.1f} % |" in page
    assert "    make noise\n" in page
    front = yaml.safe_load(page.split("---\n")[1])  # as the Hub reads it
    assert front["library_name"] == "slowfast-stica"
    assert front["model-index"][0]["name"] == "tiny-net"
    assert main(["--limits", "Not for noise.", "--out", str(folder)]) == 0
    assert read_results(folder) == read_results(tmp_path / "evaluated")
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert "decisions about people. Not for noise.\n" in page
    capsys.readouterr()
    assert str(tmp_path) not in page
    words = ["--results", str(tmp_path / "evaluated"), "--out", str(folder), "--metric", "top5"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "--metric: 'top5' was not measured. Known: mean_class_acc, top1_acc" in error
    assert main(["--verify", "tiny-net"]) == 0
    assert "zoo://tiny-net: 2 of 2 as recorded" in capsys.readouterr().out

    content = read_results(folder)
    top1 = content["records"][0]
    top1["value"] -= 1 / 7  # one of the seven test videos
    top1["interval"] = wilson_interval(top1["value"], 7)
    (folder / "results.json").write_text(json.dumps(content), encoding="utf-8")
    assert main(["--verify", "zoo://tiny-net"]) == 1
    assert "DIFFERENT" in capsys.readouterr().out
    assert main(["--verify", "tiny-net", "--tolerance", "1"]) == 0


def test_what_is_written(run, folder):
    assert export(run, folder) == 0
    names = {"config.yaml", "evaluate.yaml", "json_stats.log", "row.yaml", "README.md"}
    names |= {"tiny-net.pyth", "tiny-net.pyth.sha256"}
    assert {path.name for path in folder.iterdir()} == names
    original = torch.load(next((run / "checkpoints").glob("*_00002.pyth")), weights_only=True)
    content = load(folder)
    assert set(content) == {"epoch", "model_state", "cfg"}
    assert content["epoch"] == 1
    assert list(content["model_state"]) == list(original["model_state"])
    for key, value in original["model_state"].items():
        expected = value.half() if value.is_floating_point() else value
        assert torch.equal(content["model_state"][key], expected), key
        assert content["model_state"][key].dtype == expected.dtype
    data = (folder / "tiny-net.pyth").read_bytes()
    line = (folder / "tiny-net.pyth.sha256").read_text(encoding="ascii")
    assert line == f"{sha256(data).hexdigest()}  tiny-net.pyth\n"
    assert (folder / "json_stats.log").read_bytes() == (run / "json_stats.log").read_bytes()
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    assert content["cfg"] == (folder / "config.yaml").read_text(encoding="utf-8")
    assert config["OUTPUT_DIR"] == "output/tiny-net"
    assert config["DATA"]["PATH_TO_DATA_DIR"] == ""
    assert config["SOLVER"]["BASE_LR"] == 0.05
    for path in folder.iterdir():
        assert str(run.parent).encode() not in path.read_bytes(), path.name


def test_the_bytes_depend_on_the_weights_alone(run, folder):
    last = next((run / "checkpoints").glob("*_00002.pyth"))
    assert export(run, folder) == 0
    first = (folder / "tiny-net.pyth").read_bytes()
    assert export(last, folder) == 0  # a file is as good as its run
    assert (folder / "tiny-net.pyth").read_bytes() == first
    assert (folder / "json_stats.log").is_file()
    assert export(next((run / "checkpoints").glob("*_00001.pyth")), folder) == 0
    assert (folder / "tiny-net.pyth").read_bytes() != first


def test_overrides_go_into_the_evaluation_and_stay(run, folder, capsys):
    assert export(run, folder, "TEST.NUM_ENSEMBLE_VIEWS", "3", "TEST.BATCH_SIZE", "2") == 0
    expected = {
        "_BASE_": "config.yaml",
        "TRAIN": {"ENABLE": False},
        "TEST": {
            "ENABLE": True,
            "CHECKPOINT_FILE_PATH": "zoo://tiny-net",
            "CHECKPOINT_TYPE": "pytorch",
            "NUM_ENSEMBLE_VIEWS": 3,
            "BATCH_SIZE": 2,
        },
    }
    assert yaml.safe_load((folder / "evaluate.yaml").read_text(encoding="utf-8")) == expected
    words = ["--checkpoint", str(run), "--out", str(folder), "--note", "again", "--licence", "CC0"]
    assert main(words) == 0
    assert "--licence was renamed to --license\n" in capsys.readouterr().err
    assert yaml.safe_load((folder / "evaluate.yaml").read_text(encoding="utf-8")) == expected
    row = yaml.safe_load((folder / "row.yaml").read_text(encoding="utf-8"))
    assert row == {
        "data": "noise",
        "license": "CC0",
        "note": "again",
        "metrics": ["top1_acc"],
        "commands": ["make noise"],
    }


def test_results_of_other_weights_are_refused(run, folder, tmp_path, capsys):
    assert export(run, folder) == 0
    capsys.readouterr()
    assert main(["--results", str(run), "--out", str(folder)]) == 2  # of the float32 weights
    assert "does not belong to these weights: it evaluated" in capsys.readouterr().err
    assert not (folder / "results.json").exists()
    register_package()
    assert main(["--verify", "tiny-net"]) == 2
    assert "has no results yet" in capsys.readouterr().err
    evaluate(tmp_path / "evaluated")
    assert export(run, folder, "TEST.NUM_ENSEMBLE_VIEWS", "1") == 0
    assert main(["--results", str(tmp_path / "evaluated"), "--out", str(folder)]) == 2
    assert "its configuration is" in capsys.readouterr().err
    assert export(run, folder, "TEST.NUM_ENSEMBLE_VIEWS", "2") == 0
    assert main(["--results", str(tmp_path / "evaluated"), "--out", str(folder)]) == 0
    assert export(run, folder) == 0  # the same weights: their results stay
    assert (folder / "results.json").exists()
    assert export(next((run / "checkpoints").glob("*_00001.pyth")), folder) == 0
    assert not (folder / "results.json").exists()


def test_a_damaged_file_is_not_loaded(run, folder, tmp_path, capsys):
    assert export(run, folder) == 0
    register_package()
    with (folder / "tiny-net.pyth").open("ab") as file:
        file.write(b"x")
    config = f"package://{PACKAGE}/tiny-net/evaluate.yaml"
    assert run_net.main(["--cfg", config, "OUTPUT_DIR", str(tmp_path / "o")]) == 2
    assert "tiny-net.pyth is damaged: its SHA-256 begins with" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--max-mb", "0.01"], "--max-mb: tiny-net.pyth has 0."),
        (["--results", "nowhere"], "--results: no nowhere/results.json"),
        (["TEST.PROTOCOL", "['knn']"], "Did you mean 'TEST.PROTOCOLS'?"),
        (["TEST.BATCH_SIZE"], "overrides come in pairs"),
        (["--license", ""], "--license is required the first time"),
    ],
)
def test_mistakes(run, folder, words, message, capsys):
    assert export(run, folder) == 0
    before = (folder / "tiny-net.pyth").read_bytes()
    assert export(run, folder, *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert (folder / "tiny-net.pyth").read_bytes() == before
    (folder / "row.yaml").write_text("data: noise\n", encoding="utf-8")
    assert export(run, folder) == 2
    assert "row.yaml must have 'data' and 'license'" in capsys.readouterr().err


def test_no_run(tmp_path, capsys):
    words = ["--out", str(tmp_path / "a"), *FACTS]
    assert main(["--checkpoint", str(tmp_path), *words]) == 2
    assert "--checkpoint: no checkpoint in" in capsys.readouterr().err
    torch.save({"state_dict": {}}, tmp_path / "x.pyth")
    assert main(["--checkpoint", str(tmp_path / "x.pyth"), *words]) == 2
    assert "has no model_state" in capsys.readouterr().err
    assert main(["--results", str(tmp_path), *words]) == 2
    assert "has no weights yet" in capsys.readouterr().err
    assert main(["--checkpoint", str(tmp_path), "--out", str(tmp_path / "A b"), *FACTS]) == 2
    assert "--out: 'A b' is the name of the weights" in capsys.readouterr().err
    assert main(["--verify", "tiny-nett"]) == 2
    assert "unknown zoo row 'tiny-nett'" in capsys.readouterr().err
    assert main(["--verify", "torchvision_r3d_18"]) == 2
    assert "is downloaded and has no results.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "a"], "give --checkpoint, --results or facts to change, or else --verify"),
        (["--verify", "a", "--note", "b"], "or else --verify"),
        (["--verify", "a", "--results", "b"], "or else --verify"),
        (["--checkpoint", "a"], "--out: give the folder of the weights"),
        (["--results", "a", "--out", "b", "X.Y", "1"], "overrides go with"),
        ([], "Nothing to do"),
    ],
)
def test_a_wrong_command_line(words, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse_arguments(words)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom slowfast.cli.export_weights import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "--verify" in done.stdout
    tool = subprocess.run(
        [sys.executable, str(ROOT / "tools/export_weights.py"), "--version"], check=False
    )
    assert tool.returncode == 0
