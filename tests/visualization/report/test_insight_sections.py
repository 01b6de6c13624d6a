"""The sections about the model: numbers, images, and names that stay text."""

import re

import pytest
from helpers.insight_run import CLASS_NAMES, EVIL, edit, fill, looked_into
from helpers.probes import TEST

from slowfast.config import UserError
from slowfast.visualization.report import Run
from slowfast.visualization.report.sections.clips import _ticks, clips, grad_cam
from slowfast.visualization.report.sections.embedding import embedding
from slowfast.visualization.report.sections.retrieval import retrieval

pytest.importorskip("jinja2")
SECTIONS = (embedding, retrieval, clips, grad_cam)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = looked_into(tmp_path_factory.mktemp("insight"))
    edit(folder, fill)
    return folder


@pytest.fixture(scope="module")
def sections(folder):
    return {
        section.title: section.html for section in (make(Run.open(folder)) for make in SECTIONS)
    }


def test_titles_and_names(sections):
    assert list(sections) == ["Embedding", "Retrieval", "Example clips", "Grad-CAM"]
    html = "".join(sections.values())
    assert EVIL not in html
    assert "<b>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.mp4" in sections["Example clips"]
    assert "&lt;b&gt;2&lt;/b&gt; &amp; more" in sections["Grad-CAM"]


def test_embedding(sections):
    html = sections["Embedding"]
    for name in ("video features", "audio features", "video embeddings", "audio embeddings"):
        assert name in html
    assert len(re.findall(r"<li><strong>", html)) == 4
    assert "modality gap" in html
    assert "A sample of" not in html
    assert "PCA: the horizontal axis has" in html


def test_retrieval(sections):
    html = sections["Retrieval"]
    assert re.findall(r"<h3>(.*?)</h3>", html) == [
        "Nearest neighbors by video features",
        "Audio by video",
        "Video by audio",
    ]
    assert html.count('class="query"') == 3 * 4
    assert html.count("<figure") == 3 * 4 * 6  # a query and five neighbors
    assert "own rank" in html
    assert html.count("data:image/jpeg;base64,") == html.count("<img")


def test_boxes_bars_and_attention_are_on_one_time_axis(sections):
    html = sections["Example clips"]
    first = html.split("</figure>")[0]
    assert 'class="strip" style="width:100.000%"' in first
    assert 'class="mel" style="width:50.000%"' in first  # 1.5 of 3 seconds
    # The first box is on all 3 frames, the second one on those before half of the clip.
    assert first.count("<rect") == 3 + 1
    assert 'left:25.000%;width:50.000%;background:var(--c1)" title="time_small_0"' in first
    assert re.findall(r'title="head \d: ([\d.]+)"', first) == ["0.200", "0.800", "0.500", "0.500"]
    assert re.findall(r"<span style=\"left:[\d.]+%\">(.*?)</span>", first)[:2] == ["0 s", "0.5 s"]
    assert "crops of the feature map" in html


def test_grad_cam(sections):
    html = sections["Grad-CAM"]
    assert "Wrong predictions" in html
    assert "score 0.750" in html
    assert html.count("<img") == 2


@pytest.mark.parametrize(
    ("seconds", "last", "count"),
    [(0.3, "0.3 s", 4), (2.7, "2.5 s", 6), (10, "10 s", 6), (0, "", 0)],
)
def test_ticks(seconds, last, count):
    ticks = _ticks(seconds)
    assert len(ticks) == count
    if ticks:
        assert (ticks[0], ticks[-1][0]) == (("0 s", 0.0), last)
        assert all(0 <= place <= 100.001 for _, place in ticks)


def test_large_splits_and_many_classes(tmp_path):
    folder = looked_into(tmp_path, "REPORT.MAX_VIDEOS", 6)

    def many(content):
        content["class_names"] = [f"name {n}" for n in range(40)]
        content["map"] |= {"x": [0.0] * 30, "y": [1.0] * 30, "columns": 6}
        content["videos"] = {"name": ["a.mp4"] * 30, "row": [0] * 30, "label": [*range(29), None]}

    edit(folder, many)
    html = embedding(Run.open(folder)).html
    assert f"A sample of 6 of {TEST} videos (REPORT.MAX_VIDEOS)" in html
    names = re.search(r'"group_names":\s*\[(.*?)\]', html)[1]
    assert names.count("name ") == 7
    assert [name.strip(' "') for name in names.split(",")][-2:] == ["other classes", "no label"]


def test_a_run_without_insight_has_no_such_section(tmp_path):
    (tmp_path / "config.yaml").write_text("TASK: ''\n", encoding="utf-8")
    assert [make(Run.open(tmp_path)) for make in SECTIONS] == [None] * 4


def test_damaged_files_are_named(tmp_path):
    folder = looked_into(tmp_path)
    thumbnail = next((folder / "insight").glob("thumbnail_*.jpg"))
    thumbnail.unlink()
    with pytest.raises(UserError, match=rf"{thumbnail.name} cannot be read: .* Delete "):
        retrieval(Run.open(folder))
    (folder / "insight" / "insight.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"insight.json is damaged: it is not JSON"):
        embedding(Run.open(folder))


def test_the_class_names_are_those_of_the_run(sections):
    assert all(f"&lt;b&gt;{n}&lt;/b&gt; &amp; more" in sections["Retrieval"] for n in (0, 1))
    assert len(CLASS_NAMES) == 7
