"""``slowfast export``."""

import subprocess
import sys

import pytest
import torch

import slowfast
from slowfast.cli.main import main
from slowfast.inference import export
from tests.helpers.small_models import AUDIO_CLASSIFIER, save_run, small_model


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    model = small_model(AUDIO_CLASSIFIER, class_names=["dog", "cat", "bird"])
    return save_run(model, tmp_path_factory.mktemp("runs") / "audio")


@pytest.mark.slow
def test_a_program_is_checked_or_not_kept(run, tmp_path, capsys, monkeypatch):
    words = ["export", str(run), "--format", "torch_export", "-o", str(tmp_path / "x" / "a.pt2")]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "relative to the largest value" in text
    assert text.count("logits") == 4
    assert f"wrote {tmp_path / 'x' / 'a.pt2'}" in text
    assert (tmp_path / "x" / "a.json").is_file()
    (tmp_path / "x" / "a.pt2").unlink()
    (tmp_path / "x" / "a.json").unlink()

    def inexact(path):
        program = torch.export.load(path).module()
        return lambda inputs: {k: v + 2e-4 * v.abs().max() for k, v in program(**inputs).items()}

    changed = export.PROGRAM_FORMATS["torch_export"]._replace(open=inexact)
    monkeypatch.setitem(export.PROGRAM_FORMATS, "torch_export", changed)
    assert main(words) == 1
    output = capsys.readouterr()
    assert "2.0e-04" in output.out
    assert "differs from the model by more than 0.0001 of the largest value" in output.err
    assert "Traceback" not in output.err
    assert not list((tmp_path / "x").iterdir())


def test_a_folder_for_the_hub(run, tmp_path, capsys):
    words = ["export", str(run), "--format", "hf", "-o", str(tmp_path / "mine"), "--half"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "the license is not known: name it with --license" in text
    assert f"hf upload ORG/NAME {tmp_path / 'mine'}" in text
    model = slowfast.load(tmp_path / "mine")
    assert model.class_names == ["dog", "cat", "bird"]
    (tmp_path / "mine" / "README.md").write_text("edited", encoding="utf-8")
    assert main([*words, "--license", "MIT", "TEST.NUM_ENSEMBLE_VIEWS", "3"]) == 0
    assert "kept" in capsys.readouterr().out
    assert (tmp_path / "mine" / "README.md").read_text(encoding="utf-8") == "edited"
    assert slowfast.load(tmp_path / "mine").cfg.TEST.NUM_ENSEMBLE_VIEWS == 3
    (tmp_path / "mine" / "README.md").unlink()
    card = ["--license", "MIT", "--data", "noises", "--note", "Of no use."]
    assert main([*words, *card]) == 0
    page = (tmp_path / "mine" / "README.md").read_text(encoding="utf-8")
    for wanted in ("license: mit", "Trained on noises.", "Of no use.", "3 classes: dog, cat"):
        assert wanted in page
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "README.md").write_text("mine", encoding="utf-8")
    assert main(["export", str(run), "--format", "hf", "-o", str(tmp_path / "other")]) == 2
    assert "has other files: choose a new folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("x --format onnx -o a.pt2", "--out: got a.pt2; expected a file that ends in .onnx"),
        ("x --format torch_export -o a.onnx", "expected a file that ends in .pt2"),
        ("x --format hf -o a --inputs raw", "--inputs: only for --format torch_export and onnx"),
        ("x --format onnx -o a.onnx --license MIT", "--license: only for --format hf"),
        ("x --format onnx -o a.onnx --half", "--half: only for --format hf"),
        ("x --format tflite -o a", "invalid choice: 'tflite'"),
        (f"x --format hf -o {__file__}", "--format hf writes a folder"),
    ],
)
def test_a_wrong_command_line(words, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["export", *words.split()])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_a_source_that_does_not_exist(tmp_path, capsys):
    assert main(["export", str(tmp_path / "no"), "--format", "hf", "-o", "x"]) == 2
    error = capsys.readouterr().err
    assert f"checkpoint not found: {tmp_path / 'no'}" in error
    assert "Traceback" not in error


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom slowfast.cli.main import main\n"
        "try:\n    main(['export', '--help'])\nexcept SystemExit:\n"
        "    sys.exit(any(m in sys.modules for m in ('torch', 'numpy')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "examples:" in done.stdout
