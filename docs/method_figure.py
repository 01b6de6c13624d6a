"""Plots docs/method.png, the figure of StiCA in the README.

python docs/method_figure.py            write it
python docs/method_figure.py --check    fail when the script was changed and the figure was not

The same version of matplotlib renders the same pixels; with another one --check does not compare.
It shows configs/StiCA/R2plus1D_pretrain.yaml: a map of 4 x 7 x 7 and, for each view, two
large and one small crop in time, two large and four small ones in space. Units are inches, the
origin is the lower left corner.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle
from matplotlib.text import Text

TARGET = Path(__file__).parent / "method.png"
SOFTWARE = f"matplotlib {matplotlib.__version__}"
WIDTH, HEIGHT, DPI = 16.0, 8.5, 100

INK, LINE, GRAY, CARD = "#1F2933", "#6B7785", "#E6EAEF", "#FFFFFF"
FULL, SPACE, TIME, AUDIO = "#2563A8", "#1E8A72", "#D9741A", "#8A4FB0"

STEPS, SIDE = 4, 7  # the map: T', and H' = W'
SMALL, LARGE = 16, 17.5  # points; 1600 pixels are shown 800 wide

# Rows and columns.
Y_TIME, Y_SPACE, Y_FULL, Y_AUDIO, Y_HEADER = 6.4, 4.55, 2.7, 0.95, 7.95
X_VIEWS, X_BACKBONE, X_MAPS, X_TOKENS = 1.3, 3.28, 4.65, 8.97
X_TRANSFORMER, X_HEAD, X_VIEW_1, X_VIEW_2 = 10.6, 12.15, 13.3, 15.35


class Crop(NamedTuple):
    """A part of the map, ends excluded."""

    top: int = 0
    left: int = 0
    size: int = SIDE
    first: int = 0
    last: int = STEPS


def tint(color: str, share: float) -> tuple[float, ...]:
    """Mix a color with white.

    Args:
        color: Hexadecimal.
        share: Of the color, 0 to 1.

    Returns:
        Red, green, blue.
    """
    return tuple(share * part + 1 - share for part in matplotlib.colors.to_rgb(color))


def text(ax: Axes, x: float, y: float, words: str, **options: object) -> Text:
    """Write words around a point."""
    look: dict[str, object] = {"ha": "center", "va": "center", "color": INK, "fontsize": SMALL}
    return ax.text(x, y, words, **{**look, **options})


def arrow(ax: Axes, start: Sequence[float], end: Sequence[float], **options: object) -> None:
    """Draw an arrow from a point to another."""
    look: dict[str, object] = {"arrowstyle": "-|>", "mutation_scale": 18, "lw": 2, "color": LINE}
    patch = FancyArrowPatch(start, end, shrinkA=0, shrinkB=0, **{**look, **options})
    ax.add_patch(patch)


def rounded(ax: Axes, corner: Sequence[float], size: Sequence[float], **options: object) -> None:
    """Draw a box with round corners; ``radius`` is one of the options."""
    style = f"round,pad=0,rounding_size={options.pop('radius')}"
    ax.add_patch(FancyBboxPatch(corner, *size, boxstyle=style, **options))


def frame(ax: Axes, corner: Sequence[float], size: Sequence[float], **options: object) -> None:
    """Draw the edge of a frame."""
    ax.add_patch(Rectangle(corner, *size, fill=False, **options))


def network(ax: Axes, x: float, y: float, width: float, heights: Sequence[float]) -> None:
    """Draw a network that narrows from left to right."""
    left, right = x - width / 2, x + width / 2
    begin, end = heights[0] / 2, heights[1] / 2
    corners = [(left, y - begin), (left, y + begin), (right, y + end), (right, y - end)]
    ax.add_patch(Polygon(corners, fc=GRAY, ec=LINE, lw=2, joinstyle="round"))


def scene(step: int) -> np.ndarray:
    """Paint a frame: a ball that bounces before hills.

    Args:
        step: 0, 1, 2.

    Returns:
        float (180, 240, 3).
    """
    y, x = np.mgrid[0:180, 0:240] / 180.0
    frame = np.stack([0.72 - 0.2 * y, 0.86 - 0.1 * y, 0.97 - 0.05 * y], axis=-1)
    frame[y > 0.62 + 0.12 * np.sin(4.2 * x)] = (0.45, 0.66, 0.42)
    frame[y > 0.82 + 0.05 * np.sin(3 * x + 2)] = (0.35, 0.55, 0.36)
    center = (0.35 + 0.28 * step, (0.5, 0.72, 0.42)[step])
    frame[np.hypot(x - center[0], y - center[1]) < 0.16] = (0.88, 0.33, 0.25)
    return frame


def augmented(step: int) -> np.ndarray:
    """Crop a frame, turn it left to right and change its colors: the other view."""
    tone = (1.25, 0.98, 0.78)
    return np.clip(scene(step)[20:164, 212:20:-1] * tone, 0, 1)


def view(ax: Axes, y: float, paint: Callable[[int], np.ndarray]) -> None:
    """Draw three frames of a view behind one another."""
    width, height = 1.4, 1.05
    for step in (2, 1, 0):
        left, bottom = X_VIEWS - 0.88 + 0.18 * step, y - 0.62 + 0.14 * step
        extent = (left, left + width, bottom, bottom + height)
        ax.imshow(paint(step), extent=extent, zorder=3 - step, aspect="auto")
        frame(ax, (left, bottom), (width, height), ec=INK, lw=1.2, zorder=3.5 - step)


def feature_map(ax: Axes, x: float, y: float, crop: Crop, color: str) -> None:
    """Draw the feature map as a slanted grid per time step, the positions of a crop filled.

    Args:
        ax: Where to draw.
        x: Left end.
        y: Middle.
        crop: Positions to fill.
        color: Of the filled positions.
    """

    def corner(step: int, row: float, column: float) -> tuple[float, float]:
        across, down = column / SIDE, row / SIDE
        return x + 0.4 * step + 0.46 * across, y + 0.6 - 0.92 * down - 0.28 * across

    def area(step: int, row: int, column: int, size: int) -> list[tuple[float, float]]:
        ends = ((0, 0), (0, size), (size, size), (size, 0))
        return [corner(step, row + down, column + across) for down, across in ends]

    for step in range(STEPS):
        inside = crop.first <= step < crop.last
        ax.add_patch(Polygon(area(step, 0, 0, SIDE), fc="white", ec="none"))
        if inside:
            covered = area(step, crop.top, crop.left, crop.size)
            ax.add_patch(Polygon(covered, fc=tint(color, 0.62), ec="none"))
        edge = color if inside else "#A9B4C0"
        for index in range(SIDE + 1):
            for ends in (((index, 0), (index, SIDE)), ((0, index), (SIDE, index))):
                (x0, y0), (x1, y1) = (corner(step, *end) for end in ends)
                ax.plot([x0, x1], [y0, y1], color=edge, lw=0.6, alpha=0.6)
        ax.add_patch(Polygon(area(step, 0, 0, SIDE), fill=False, ec=edge, lw=1.4))
        if inside and crop.size < SIDE:
            ax.add_patch(Polygon(covered, fill=False, ec=color, lw=2.2))


def token(ax: Axes, x: float, y: float, color: str) -> None:
    """Draw a vector."""
    look = {"fc": tint(color, 0.75), "ec": color, "lw": 1.4}
    rounded(ax, (x - 0.085, y - 0.21), (0.17, 0.42), radius=0.05, **look)


def attention(ax: Axes, y: float, count: int, color: str) -> None:
    """Draw how tokens are attended to: lines from each of them to the one that is read."""
    left, right = X_TRANSFORMER - 0.38, X_TRANSFORMER + 0.38
    for place in 0.3 * (np.arange(count) - (count - 1) / 2):
        ax.plot([left, right], [y + place, y], color=color, lw=1.6, alpha=0.7, zorder=2)
        ax.add_patch(Circle((left, y + place), 0.075, fc=tint(color, 0.75), ec=color, zorder=3))
    ax.add_patch(Circle((right, y), 0.12, fc=color, ec=color, zorder=3))


def embedding_places(large: int, small: int, y: float) -> list[tuple[float, float]]:
    """Stack the embeddings of a view's crops around a height.

    Args:
        large: Large crops.
        small: Small crops.
        y: The height.

    Returns:
        Height and radius of each, the large crops first.
    """
    radii = [0.15] * large + [0.09] * small
    gap = 0.09
    top = y + (2 * sum(radii) + gap * (len(radii) - 1)) / 2
    places = []
    for radius in radii:
        places.append((top - radius, radius))
        top -= 2 * radius + gap
    return places


def within_modal(ax: Axes, y: float, large: int, small: int, color: str) -> None:
    """Draw the loss of an axis: every crop of a view to the large crops of the other view."""
    places = embedding_places(large, small, y)
    for x, other, side in ((X_VIEW_1, X_VIEW_2, 1), (X_VIEW_2, X_VIEW_1, -1)):
        for height, radius in places:
            ax.add_patch(Circle((x, height), radius, fc=tint(color, 0.75), ec=color, lw=1.4))
            for key_height, key_radius in places[:large]:
                start, end = (x + side * radius, height), (other - side * key_radius, key_height)
                arrow(ax, start, end, color=color, lw=1.0, mutation_scale=9, alpha=0.5)


def cross_modal(ax: Axes) -> None:
    """Draw the loss between the full feature map of each view and the audio, both ways."""
    middle = (X_VIEW_1 + X_VIEW_2) / 2
    for x in (X_VIEW_1, X_VIEW_2):
        ax.add_patch(Circle((x, Y_FULL), 0.2, fc=tint(FULL, 0.75), ec=FULL, lw=1.6))
        toward = np.array([x - middle, Y_FULL - Y_AUDIO])
        toward /= np.hypot(*toward)
        start = np.array([middle, Y_AUDIO]) + 0.24 * toward
        end = np.array([x, Y_FULL]) - 0.24 * toward
        arrow(ax, start, end, arrowstyle="<|-|>", color=INK, lw=1.8, mutation_scale=15)
    ax.add_patch(Circle((middle, Y_AUDIO), 0.2, fc=tint(AUDIO, 0.75), ec=AUDIO, lw=1.6))


def inputs(ax: Axes) -> None:
    """Draw the two views and the backbone."""
    for y, paint, name in (
        (Y_SPACE + 1.15, scene, "view 1"),
        (Y_SPACE - 1.05, augmented, "view 2"),
    ):
        view(ax, y, paint)
        text(ax, X_VIEWS, y - 0.85, name)
        arrow(ax, (2.28, y), (2.58, y + (Y_SPACE - y) * 0.2))
    network(ax, X_BACKBONE, Y_SPACE, 1.24, (4.5, 2.8))
    text(ax, X_BACKBONE, Y_SPACE, "R(2+1)D\nor any\nother")


def video_rows(ax: Axes) -> None:
    """Draw the full feature map and its crops, up to the transformer."""
    rows = (
        (Y_TIME, "time crops", TIME, Crop(last=3), Crop(first=2)),
        (Y_SPACE, "space crops", SPACE, Crop(1, 0, 6), Crop(1, 2, 4)),
        (Y_FULL, "full map", FULL, Crop(), None),
    )
    ax.plot([4.14, 4.14], [Y_FULL, Y_TIME], color=LINE, lw=2, solid_capstyle="projecting")
    ax.plot([3.92, 4.14], [Y_SPACE, Y_SPACE], color=LINE, lw=2)
    for y, name, color, large, small in rows:
        arrow(ax, (4.14, y), (4.54, y))
        crops = [large] if small is None else [large, small]
        title = text(ax, X_MAPS, y + 0.83, name, color=color, weight="bold", ha="left")
        if small is not None:
            ax.annotate("  large, small", (1, 0), xycoords=title, va="bottom", color=color,
                        fontsize=SMALL)  # fmt: skip
        for index, crop in enumerate(crops):
            feature_map(ax, X_MAPS + 1.78 * index, y, crop, color)
            height = y + (0.27 - 0.54 * index) * (len(crops) - 1)
            for step in range(crop.first, crop.last):
                token(ax, X_TOKENS - 0.375 + 0.25 * step, height, color)
        arrow(ax, (8.16 if small else 6.4, y), (8.42, y))
        arrow(ax, (9.5, y), (X_TRANSFORMER - 0.64, y))


def video_encoder(ax: Axes) -> None:
    """Draw transformer and head, which the rows share, and the arrows to the embeddings."""
    bottom, top = Y_FULL - 0.8, Y_TIME + 0.8
    look = {"fc": GRAY, "ec": LINE, "lw": 2, "zorder": 1}
    rounded(ax, (X_TRANSFORMER - 0.62, bottom), (1.24, top - bottom), radius=0.15, **look)
    middle = (bottom + top) / 2
    network(ax, X_HEAD, middle, 0.6, (top - bottom, top - bottom - 0.8))
    text(ax, X_HEAD, middle, "MLP", rotation=90)
    for y, count, color in ((Y_TIME, 3, TIME), (Y_SPACE, 4, SPACE), (Y_FULL, 4, FULL)):
        attention(ax, y, count, color)
        arrow(ax, (X_TRANSFORMER + 0.64, y), (X_HEAD - 0.32, y))
        arrow(ax, (X_HEAD + 0.32, y), (X_VIEW_1 - 0.32, y))


def audio_row(ax: Axes) -> None:
    """Draw the audio from its wave to its embedding."""
    y = Y_AUDIO
    x = np.linspace(0, 1, 160)
    wave = sum(np.exp(-(((x - c) / 0.09) ** 2)) for c in (0.15, 0.5, 0.85))
    wave = 0.42 * (0.1 + wave) * np.sin(2 * np.pi * 31 * x)
    ax.plot(0.5 + 1.6 * x, y + wave, color=AUDIO, lw=1.3)
    text(ax, X_VIEWS, y - 0.68, "audio")
    arrow(ax, (2.3, y), (2.62, y))
    bins, time = np.mgrid[0:20, 0:34]
    hit = sum(np.exp(-(((time / 33 - c) / 0.08) ** 2)) for c in (0.15, 0.5, 0.85))
    mel = hit * np.exp(-bins / 9) + 0.12 * np.sin(bins * 1.7 + time * 0.9) ** 2
    colors = matplotlib.colors.LinearSegmentedColormap.from_list("audio", ["white", AUDIO])
    extent = (2.75, 4.35, y - 0.45, y + 0.45)
    ax.imshow(mel, extent=extent, cmap=colors, origin="lower", aspect="auto", vmin=0, vmax=1)
    frame(ax, (2.75, y - 0.45), (1.6, 0.9), ec=AUDIO, lw=1.4)
    text(ax, 3.55, y - 0.68, "log-mel")
    arrow(ax, (4.5, y), (5.0, y))
    network(ax, 5.9, y, 1.6, (1.2, 0.8))
    text(ax, 5.9, y, "ResNet-9")
    arrow(ax, (6.85, y), (8.65, y))
    text(ax, 7.7, y - 0.28, "mean")
    token(ax, X_TOKENS, y, AUDIO)
    arrow(ax, (9.3, y), (X_HEAD - 0.32, y))
    network(ax, X_HEAD, y, 0.6, (1.2, 0.8))
    text(ax, X_HEAD, y, "MLP", rotation=90)
    arrow(ax, (X_HEAD + 0.32, y), ((X_VIEW_1 + X_VIEW_2) / 2 - 0.25, y))


def labels(ax: Axes) -> None:
    """Write what the columns and the losses are."""
    middle = (X_VIEW_1 + X_VIEW_2) / 2
    for x, words in (
        (X_VIEWS, "two views\nof a clip"),
        (X_BACKBONE, "backbone"),
        (6.3, "feature map\nT′ × H′ × W′"),
        (X_TOKENS - 0.08, "mean\nover space"),
        (X_TRANSFORMER + 0.05, "transformer\nover time"),
        (X_HEAD, "head"),
        (middle, "contrast"),
    ):
        text(ax, x, Y_HEADER, words, fontsize=LARGE, weight="bold", linespacing=1.25)
    text(ax, X_VIEW_1, 7.4, "view 1")
    text(ax, X_VIEW_2, 7.4, "view 2")
    text(ax, middle, (Y_TIME + Y_SPACE) / 2 + 0.15, "within-modal")
    text(ax, middle, Y_FULL, "cross-modal")


def draw() -> Figure:
    """Draw the figure.

    Returns:
        The figure, 1600 pixels wide.
    """
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, facecolor="none")
    FigureCanvasAgg(figure)
    ax = figure.add_axes((0, 0, 1, 1))
    card, look = (WIDTH - 0.06, HEIGHT - 0.06), {"fc": CARD, "ec": "#D5DBE2", "lw": 2, "zorder": 0}
    rounded(ax, (0.03, 0.03), card, radius=0.3, **look)
    for part in (inputs, video_rows, video_encoder, audio_row, cross_modal, labels):
        part(ax)
    within_modal(ax, Y_TIME, 2, 1, TIME)
    within_modal(ax, Y_SPACE, 2, 4, SPACE)
    ax.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    ax.axis("off")
    return figure


def render() -> bytes:
    """Draw the figure into memory.

    Returns:
        The bytes of a PNG, the same for the same version of matplotlib.
    """
    buffer = io.BytesIO()
    with matplotlib.rc_context({"font.family": "DejaVu Sans"}):  # which comes with matplotlib
        draw().savefig(buffer, format="png", dpi=DPI, metadata={"Software": SOFTWARE})
    return buffer.getvalue()


def check() -> int:
    """Say whether the figure is what this script renders.

    Returns:
        Exit status: 0, or 1 where it is not.
    """
    if not TARGET.is_file():
        sys.stderr.write(f"{TARGET.name} is missing: run python docs/method_figure.py\n")
        return 1
    if f"Software\0{SOFTWARE}".encode() not in TARGET.read_bytes():
        sys.stdout.write(f"{TARGET.name}: rendered by another matplotlib, not compared\n")
        return 0
    kept, rendered = imread(TARGET), imread(io.BytesIO(render()))
    if kept.shape != rendered.shape or not np.array_equal(kept, rendered):
        sys.stderr.write(f"{TARGET.name} is stale: run python docs/method_figure.py\n")
        return 1
    sys.stdout.write(f"{TARGET.name} is up to date\n")
    return 0


def main() -> int:
    """Write the figure, or compare it.

    Returns:
        Exit status.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare only")
    if parser.parse_args().check:
        return check()
    TARGET.write_bytes(render())
    return 0


if __name__ == "__main__":
    sys.exit(main())
