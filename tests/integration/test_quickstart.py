"""The notebook of the documentation runs as it is."""

import os
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "quickstart.ipynb"


@pytest.mark.slow
def test_the_notebook(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat", reason="needs nbclient: .[notebook]")
    client = pytest.importorskip("nbclient", reason="needs nbclient: .[notebook]")
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    notebook = nbformat.read(NOTEBOOK, 4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # nothing stale is shipped
    resources = {"metadata": {"path": str(tmp_path)}}
    client.NotebookClient(notebook, timeout=600, resources=resources).execute()
    text = "".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    )
    assert "FrozenModel('zoo://stica-demo'" in text
    assert "Embeddings(80 videos, 0 bad files" in text
    percent = int(text.split("% of 20 videos; chance level 10%")[0].split()[-1])
    assert percent >= 30
    accuracy = float(text.split("top1_acc ")[1].split()[1])
    assert accuracy >= 50
    assert (tmp_path / "quickstart/vectors/search.html").is_file()
    assert (tmp_path / "quickstart/classifier/report.html").is_file()
