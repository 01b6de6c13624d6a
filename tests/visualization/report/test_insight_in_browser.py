"""The sections about the model in Chromium."""

import json

import pytest
from helpers.insight_run import EVIL, edit, fill, looked_into

from slowfast.visualization.report import write_report

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = looked_into(tmp_path_factory.mktemp("insight"))
    edit(folder, fill)
    return write_report(folder)


def test_it_holds_what_every_page_holds(page, open_page):
    opened = open_page(page)
    opened.check()
    for name in ("grad-cam", "embedding", "retrieval", "example-clips"):
        assert opened.page.locator(f"section#{name}").is_visible()


def test_pointing_at_a_video_shows_its_frame_and_name(page, open_page):
    opened = open_page(page)
    plot = opened.page.locator("section#embedding [data-plot=scatter] canvas")
    plot.scroll_into_view_if_needed()
    box, tip = plot.bounding_box(), opened.page.locator("#tip")
    content = json.loads((page.parent / "insight" / "insight.json").read_text(encoding="utf-8"))
    xs, ys = content["map"]["x"], content["map"]["y"]
    seen = set()
    for index in (0, 5, 9):
        across = (xs[index] - min(xs)) / (max(xs) - min(xs))
        up = (ys[index] - min(ys)) / (max(ys) - min(ys))
        x, y = 12 + (box["width"] - 24) * across, box["height"] - 12 - (box["height"] - 24) * up
        opened.page.mouse.move(box["x"] + x, box["y"] + y)
        name = content["videos"]["name"][index].removeprefix("test/")
        assert tip.inner_text().startswith(name)
        seen.add(tip.locator(".thumb").evaluate("(n) => n.style.backgroundPosition"))
    assert len(seen) == 3
    assert opened.dialogs == []


def test_strip_spectrogram_and_axis_have_one_scale(page, open_page):
    opened = open_page(page)
    clip = opened.page.locator("section#example-clips .clip").first
    assert EVIL in clip.locator("figcaption").inner_text()
    strip, mel = (clip.locator(name).bounding_box() for name in (".strip", ".mel"))
    assert mel["x"] == pytest.approx(strip["x"], abs=1)
    assert mel["width"] == pytest.approx(strip["width"] / 2, abs=2)  # 1.5 of 3 seconds
    half = clip.locator(".ticks span", has_text="1.5 s").bounding_box()
    assert half["x"] + half["width"] / 2 == pytest.approx(strip["x"] + strip["width"] / 2, abs=2)
    frame = strip["width"] / 3
    box = clip.locator("rect").first.bounding_box()
    assert box["x"] == pytest.approx(strip["x"] + 0.25 * frame, abs=0.05 * frame)
    assert box["height"] == pytest.approx(0.75 * strip["height"], abs=0.05 * strip["height"])
    heads = clip.locator(".head")
    assert heads.count() == 2
    strong, weak = (
        heads.first.locator("i").nth(n).evaluate("(i) => getComputedStyle(i).backgroundColor")
        for n in (1, 0)
    )
    assert strong != weak


def test_no_image_is_broken(page, open_page):
    opened = open_page(page)
    broken = opened.page.evaluate(
        "[...document.images].filter((i) => !i.complete || !i.naturalWidth).length"
    )
    assert broken == 0
