"""The examples of docs/export.md, run in order."""

import re
from pathlib import Path

import pytest

from slowfast.cli.main import main

PAGE = Path(__file__).parents[2] / "docs" / "export.md"
BLOCK = re.compile(r"^```python\n(.*?)^```|^    slowfast (.*?)$", re.S | re.M)


@pytest.mark.slow
def test_the_examples_run(tmp_path, monkeypatch, capsys):
    for name in ("onnxruntime", "onnxscript", "safetensors"):
        pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) == 8
    for code, words in blocks:
        if words:
            assert main(words.split()) == 0
        else:
            exec(code, names)
    text = capsys.readouterr().out
    assert "{'video': (2, 64), 'video_embedding': (2, 256), 'audio': (2, 128)," in text
    assert "3.0 16000" in text
    assert names["vectors"]["audio_embedding"].shape == (4, 256)
    assert repr(names["again"]).startswith("FrozenModel('my-copy', 1.3 M parameters")
    assert len(names["weights"]) > 100
