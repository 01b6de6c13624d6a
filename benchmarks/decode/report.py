"""The table, the figure and the cited rows, from what was measured alone."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import harness

from decode.readers import OURS, READERS

Files = Mapping[str, dict[str, Any]]
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#999999")  # Okabe and Ito
CODEC_NAMES = {"h264": "H.264", "hevc": "HEVC", "vp9": "VP9", "av1": "AV1"}
MIN_AGAINST_PEERS, MIN_AGAINST_LIMIT = ">= 1", ">= 0.8"
SLOWER = "Slower than this peer on these files; see the table of files."


def make_rows(files: Files) -> list[harness.Row]:
    """Make the rows that may be cited: the geometric mean over all files that both can read."""
    rows = []
    for name in READERS:
        if name != OURS:
            rows.append(_peer_row(files, name))
    pairs = [
        (own, facts["limit_cpu_ms"])
        for facts in files.values()
        if (own := facts["readers"][OURS].get("cpu_ms")) and facts["limit_cpu_ms"]
    ]
    if pairs:
        ours, peer = (statistics.geometric_mean(column) for column in zip(*pairs, strict=True))
        rows.append(
            harness.row(
                f"read 1 s, video + audio, {len(pairs)} files, against the limit",
                ours,
                unit="CPU ms",
                peer=peer,
                peer_name="ffmpeg to null, less its start-up",
                target=MIN_AGAINST_LIMIT,
                why="The limit neither scales nor converts to RGB.",
            )
        )
    return rows


def _peer_row(files: Files, name: str) -> harness.Row:
    both = [
        (own, other)
        for facts in files.values()
        if (own := facts["readers"][OURS].get("cpu_ms"))
        and (other := facts["readers"][name].get("cpu_ms"))
    ]
    what = f"read 1 s, video + audio, {len(both)} of {len(files)} files"
    problems = sorted({f["readers"][name]["problem"] for f in files.values()} - {""})
    if not both:
        return harness.row(
            what, None, unit="CPU ms", peer_name=READERS[name], why="; ".join(problems)
        )
    ours, peer = (statistics.geometric_mean(column) for column in zip(*both, strict=True))
    return harness.row(
        what,
        ours,
        unit="CPU ms",
        peer=peer,
        peer_name=READERS[name],
        target=MIN_AGAINST_PEERS,
        why=SLOWER if peer < ours else "",
    )


def write_table(content: dict[str, Any], path: Path) -> None:
    """Write one line per file: CPU ms of each reader, wall time and memory of ours.

    Args:
        content: What ``decode.json`` holds.
        path: A Markdown file to write.
    """
    names = content["readers"]
    columns = [
        "file",
        *names.values(),
        "ffmpeg's limit",
        "best peer / ours",
        "memory, ours",
        "best peer",
    ]
    lines = [
        f"| {' | '.join(columns)} |",
        f"|---|{'--:|' * (len(columns) - 1)}",
    ]
    lines += [_line(name, facts, list(names)) for name, facts in content["files"].items()]
    machine = content["environment"]
    busy = "" if machine["quiet"] else " The machine was busy: trust the ratios only."
    notes = _notes(content["files"])
    lines += [
        "",
        f"CPU ms per window, median of {content['setting']['rounds']}; memory: peak above the "
        f"process with its libraries, in MiB. {machine['processor']}, {machine['date']}.{busy}",
        *(["", *notes] if notes else []),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _line(name: str, facts: dict[str, Any], readers: list[str]) -> str:
    own, fields = facts["readers"], [name]
    for reader in readers:
        found = own[reader].get("cpu_ms")
        fields.append("–" if found is None else f"{found:.1f}")
    limit, ours = facts["limit_cpu_ms"], own[OURS].get("cpu_ms")
    fields.append("–" if limit is None else f"{limit:.1f}")
    peers = {r: own[r]["cpu_ms"] for r in readers if r != OURS and own[r].get("cpu_ms")}
    fields.append(f"{min(peers.values()) / ours:.2f}" if peers and ours else "–")
    memory = [own[r].get("memory_mib") for r in readers]
    ours_memory, others = memory[0], [m for m in memory[1:] if m is not None]
    fields += [_mib(ours_memory), _mib(min(others) if others else None)]
    return f"| {' | '.join(fields)} |"


def _mib(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def _notes(files: Files) -> list[str]:
    """Say why a reader was not timed, and how far its frames are from the reference's."""
    lines = []
    for name, title in READERS.items():
        facts = {file: entry["readers"][name] for file, entry in files.items()}
        levels = [f["offset_0"] for f in facts.values() if not f["problem"]]
        problems: dict[str, list[str]] = {}
        for file, own in facts.items():
            if own["problem"]:
                problems.setdefault(own["problem"], []).append(file)
        text = f"- {title}: "
        if levels:
            text += (
                f"frames differ from the reference's by {min(levels)} to {max(levels)} gray levels"
            )
            lags = [abs(f["audio_lag_ms"]) for f in facts.values() if not f["problem"]]
            text += f", the audio is off by at most {max(lags)} ms. "
        for problem, found in problems.items():
            where = "all files" if len(found) == len(files) else ", ".join(found)
            text += f"Not timed on {where}: {problem}. "
        lines.append(text.rstrip())
    return lines


def plot(content: dict[str, Any], path: Path) -> None:
    """Plot CPU time per window: a panel per size, a group of bars per kind of file.

    Args:
        content: What ``decode.json`` holds.
        path: A PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sizes = list(dict.fromkeys(facts["size"] for facts in content["files"].values()))
    figure = Figure(figsize=(4.2 * len(sizes) + 0.6, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(sizes), squeeze=False)[0]
    for axis, size in zip(axes, sizes, strict=True):
        own = [f for f in content["files"].values() if f["size"] == size]
        longest = max(f["gop"] for f in own)
        _plot_panel(axis, [f for f in own if f["gop"] == longest], content["readers"])
        axis.set_title(f"{size}, a keyframe every {longest} frames", loc="left", fontsize=10)
    axes[0].set_ylabel("CPU ms to read 1 s of video and audio")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=2 * len(sizes), frameon=False, fontsize=9
    )
    figure.savefig(path, dpi=130)


def _plot_panel(axis: Any, files: list[dict[str, Any]], readers: dict[str, str]) -> None:
    width = 0.8 / len(readers)
    for number, (name, title) in enumerate(readers.items()):
        places = [n + (number - (len(readers) - 1) / 2) * width for n in range(len(files))]
        heights = [f["readers"][name].get("cpu_ms") or 0.0 for f in files]
        axis.bar(places, heights, 0.92 * width, color=COLORS[number], label=title)
        for place, height in zip(places, heights, strict=True):
            if not height:
                axis.text(place, 0, "×", ha="center", va="bottom", fontsize=8, color="#555555")
    limits = [(n, f["limit_cpu_ms"]) for n, f in enumerate(files) if f["limit_cpu_ms"]]
    for n, height in limits:
        label = "ffmpeg decoding to null" if n == limits[0][0] else None
        axis.plot([n - 0.44, n + 0.44], [height] * 2, color="black", linewidth=1.3, label=label)
    axis.set_xticks(range(len(files)), [_kind(f) for f in files])
    axis.grid(axis="y", alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _kind(facts: dict[str, Any]) -> str:
    return "prepared" if facts["prepared"] else CODEC_NAMES[facts["codec"]]
