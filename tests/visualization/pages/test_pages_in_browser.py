"""Pages in Chromium: nothing breaks, nothing is asked from a server, everything moves."""

import pytest

pytestmark = pytest.mark.browser


@pytest.fixture
def opened(page, open_page):
    return open_page(page)


def test_widths_themes_names_errors_requests(opened):
    opened.check()


def test_harness_finds_faults(tmp_path, open_page):
    file = tmp_path / "bad.html"
    file.write_text(
        "<body style='width:2000px'><p style='color:#ccc;background:#fff'>pale</p><button></button>"
        "<img src='http://localhost:9/x.png' alt='x'><script>undefined_function()</script>"
    )
    bad = open_page(file)
    assert any("undefined_function" in error for error in bad.errors)
    assert bad.requests == ["http://localhost:9/x.png"]
    with pytest.raises(AssertionError, match="pixels at a width of 390"):
        bad.check()
    bad.page.evaluate("document.body.style.width = 'auto'")
    with pytest.raises(AssertionError, match=r"contrast below 4.5.*pale"):
        bad.check()
    bad.page.evaluate("document.querySelector('p').style.color = '#000'")
    with pytest.raises(AssertionError, match=r"without a name.*<button>"):
        bad.check()


def test_tables_sort_and_the_unknown_is_last(opened):
    opened.sort(".list", "size")
    assert opened.column(".list", 0)[:2] == ["file 0", "file 1"]
    opened.sort(".list", "size")
    assert opened.column(".list", 0)[:2] == ["file 119", "file 118"]
    for _ in range(2):
        opened.sort(".list", "time")
        opened.page.evaluate("document.querySelector('.list .more').click()")
        opened.page.evaluate("document.querySelector('.list .more').click()")
        assert opened.column(".list", 0)[-1] == "file 5"
    opened.sort(".list", "file")  # numbers in texts count as numbers
    names = [name for name in opened.column(".list", 0) if name.startswith("file ")]
    assert names == sorted(names, key=lambda name: int(name.split()[1]))
    opened.check()


def test_filters(opened):
    assert opened.filter(".list", "119 file") == 1  # words in any order
    assert opened.page.locator(".list .count").first.inner_text() == "1 of 120"
    assert opened.filter(".list", "alert") == 1
    assert opened.filter(".list", "nothing") == 0
    assert opened.filter(".list", "") == 50
    assert opened.filter("#gallery .list", "tone") == 1
    opened.check()


def test_show_more(opened):
    more = opened.page.locator("#gallery .more")
    assert more.inner_text() == "Show more (6 left)"
    more.click()
    more.click()
    assert opened.page.locator("#gallery .item:not([hidden])").count() == 11
    assert more.is_hidden()


def test_audio_plays(opened):
    opened.filter("#gallery .list", "tone")
    assert opened.play("#gallery audio") > 0.2


def test_video_plays(opened):
    opened.filter("#gallery .list", "moving")
    assert opened.play("#gallery video") > 0.2
    opened.check()


def test_theme_button_and_charts_follow(opened):
    def background():
        return opened.page.evaluate("getComputedStyle(document.body).backgroundColor")

    opened.show(1280, "light")
    assert background() == "rgb(255, 255, 255)"
    opened.page.click("#theme")
    assert background() == "rgb(15, 20, 25)"
    opened.show(1280, "dark")
    opened.page.click("#theme")
    assert background() == "rgb(255, 255, 255)"
    assert opened.page.locator(".uplot canvas").count() == 1
    opened.check()


def test_charts_paint(opened):
    for kind in ("lines", "heat", "scatter"):
        painted = opened.page.evaluate(
            """(kind) => { const canvas = document.querySelector(`[data-plot=${kind}] canvas`);
            const { width, height } = canvas;
            const image = canvas.getContext("2d").getImageData(0, 0, width, height);
            return image.data.some((value) => value > 0); }""",
            kind,
        )
        assert painted, kind


def test_hover_shows_the_thumbnail(opened):
    canvas = opened.page.locator("[data-plot=scatter] canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    tip = opened.page.locator("#tip")
    for step in range(400):
        x = box["x"] + (step % 20 + 0.5) / 20 * box["width"]
        opened.page.mouse.move(x, box["y"] + (step // 20 + 0.5) / 20 * box["height"])
        if tip.is_visible():
            break
    assert tip.inner_text() == "<script>alert(1)</script>.mp4"
    assert "blob:" in tip.locator(".thumb").evaluate("(n) => getComputedStyle(n).backgroundImage")


def test_heat_map_says_what_is_under_the_pointer(opened):
    canvas = opened.page.locator("[data-plot=heat] canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    opened.page.mouse.move(box["x"] + box["width"] - 6, box["y"] + box["height"] - 6)
    assert opened.page.locator("#tip").inner_text() == "label c, predicted c: 4 of 4 (100.0 %)"
