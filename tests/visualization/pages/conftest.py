"""A page with every building block, and hostile names in each."""

import io
import wave

import numpy as np
import pytest
from helpers.media_files import Audio, Video, write_media
from jinja2 import ChoiceLoader, DictLoader

from slowfast.visualization.pages import Sprite, data_uri, jpeg_uri, render

HOSTILE = "<script>alert(1)</script>.mp4"
BREAKOUT = "</script><img src=x onerror=alert(2)>\u2028'\"&"

TEMPLATE = """
{% extends "base.html" %}
{% import "macros.html" as ui %}
{% block content %}
{% call ui.section("Numbers & tables") %}
{{ ui.facts([("videos", 1234 | number, "of them " ~ hostile), ("accuracy", 0.9 | percent)]) }}
{% set columns = ["file", ("part", "bar"), ("size", "number"), ("time", "duration")] %}
{{ ui.table(columns, rows, "files") }}
{{ ui.parts("Time", [(hostile, 3.0), ("rest", 1.0)]) }}
{% endcall %}
{% call ui.section("Charts") %}
<div class="charts">
{{ ui.line_chart("Loss " ~ breakout, series, log=true) }}
{{ ui.line_chart("Empty", []) }}
{{ ui.heat_map("Confusion", names, [[0, 0, 9], [0, 1, 1], [2, 2, 4]], [10, 0, 4]) }}
{{ ui.scatter("Map", points, labels, groups, names, "thumbs") }}
</div>
{{ ui.sprite("thumbs", sprite) }}
{% endcall %}
{% call ui.section("Gallery") %}{{ ui.gallery(items, "clips", page=5) }}{% endcall %}
{% endblock %}
"""


def wav():
    """Two seconds of a tone."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        tone = 8000 * np.sin(np.arange(16000) * 440 * 2 * np.pi / 8000)
        file.writeframes(tone.astype("<i2").tobytes())
    return data_uri(buffer.getvalue(), "audio/wav")


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Write the page; returns its path."""
    import sys

    module = sys.modules["slowfast.visualization.pages.render"]
    plain = module._environment()
    environment = plain.overlay(
        loader=ChoiceLoader([DictLoader({"t.html": TEMPLATE}), plain.loader])
    )
    monkeypatch.setattr(module, "_environment", lambda: environment)
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 255, (12, 40, 60, 3), dtype=np.uint8)
    rows = [[f"file {n}", n / 120, float(n * n), None if n == 5 else n * 40.0] for n in range(120)]
    rows[3][0] = HOSTILE
    rows[4][0] = "umlaut \udcff.mp4"
    media = write_media(tmp_path / "moving.mp4", Video(), Audio())
    items = [
        {"caption": f"clip {n}", "image": jpeg_uri(frames[n], 30), "note": "a note"}
        for n in range(8)
    ]
    items += [
        {"caption": HOSTILE, "sprite": "thumbs", "index": 2, "audio": wav(), "text": "tone"},
        {"caption": "moving", "video": data_uri(media.read_bytes(), "video/mp4")},
        {"caption": BREAKOUT, "image": jpeg_uri(frames[9]), "href": "a.mp4"},
    ]
    return render(
        "t.html",
        tmp_path / "page.html",
        title=f"Page of {HOSTILE}",
        lead=BREAKOUT,
        hostile=HOSTILE,
        breakout=BREAKOUT,
        rows=rows,
        series=[
            {"label": BREAKOUT, "x": [1, 2, 3], "y": [3.0, float("nan"), 1.0]},
            {"label": HOSTILE, "x": [2, 4], "y": np.float32([2, 0.5]), "dash": True},
        ],
        names=[HOSTILE, BREAKOUT, "c"],
        points=generator.normal(size=(12, 2)),
        labels=[HOSTILE] * 12,
        groups=[n % 3 for n in range(12)],
        sprite=Sprite(jpeg_uri(np.concatenate(frames)), 1, 12, 60, 40, 12),
        items=items,
    )
