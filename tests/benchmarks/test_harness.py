"""Rows, result files and the tables that are made of them."""

import json
import sys
import time

import pytest

pytestmark = pytest.mark.usefixtures("_importable")


def test_a_row_compares_the_ratio_or_the_number_with_its_target():
    from harness import row

    assert row("a", 10.0, peer=25.0, peer_name="b", unit="ms", target=">= 2.5")["met"] is True
    assert row("a", 9.0, unit="samples", target="<= 10")["met"] is True
    assert row("a", 11.0, unit="samples", target="<= 10", why="x")["met"] is False
    assert row("a", 10.0, peer=25.0, peer_name="b", unit="ms")["met"] is None
    assert row("a", 10.0, peer=25.0, peer_name="b", unit="ms")["ratio"] == 2.5


@pytest.mark.parametrize(("ours", "peer"), [(10.0, 20.0), (None, None)])
def test_what_misses_its_target_or_is_not_measured_says_why(ours, peer):
    from harness import row

    with pytest.raises(ValueError, match="expected `why`"):
        row("a", ours, peer=peer, unit="ms", target=">= 3")
    assert row("a", ours, peer=peer, unit="ms", target=">= 3", why="no GPU")["why"] == "no GPU"


def test_a_part_that_is_measured_again_replaces_its_rows(tmp_path):
    from harness import replace_rows, row, write_result

    def rows(ours, *names):
        return [row(name, ours, peer=8.0, peer_name=peer, unit="ms") for name, peer in names]

    file = tmp_path / "mine.json"
    names = [("a", "x"), ("a", "y"), ("b", "x")]
    write_result(file, {}, replace_rows(file, rows(1.0, *names)))
    found = replace_rows(file, rows(2.0, ("a", "y"), ("c", "x")))
    assert [(r["what"], r["peer_name"], r["ours"]) for r in found] == [
        ("a", "x", 1.0),
        ("a", "y", 2.0),
        ("b", "x", 1.0),
        ("c", "x", 2.0),
    ]


def test_cpu_time_counts_child_processes_and_not_sleep():
    import subprocess

    from harness import measure

    cpu, wall = measure(lambda: time.sleep(0.2))
    assert cpu < 100 < wall
    cpu, _ = measure(lambda: subprocess.run([sys.executable, "-c", "sum(range(10**7))"]))
    assert cpu > 50


def test_calls_take_turns_forwards_and_backwards():
    from harness import interleave

    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    times = interleave(calls, 2, warm_up=1)
    assert order == ["b", "a", "a", "b", "b", "a"]
    assert {name: len(values) for name, values in times.items()} == {"a": 2, "b": 2}


def test_tables_hold_the_rows_of_all_files(tmp_path):
    from harness import row, write_result
    from make_tables import render

    rows = [row("reading", 10.0, peer=25.0, peer_name="other", unit="CPU ms", target=">= 2")]
    write_result(tmp_path / "results" / "mine.json", {}, rows)
    (tmp_path / "results" / "mine.md").write_text("| fresh |\n")
    (tmp_path / "results" / "older.json").write_text(json.dumps({"rows": [{"vectors": 1}]}))
    page = "a\n<!-- rows -->\nold\n<!-- end -->\nb\n<!-- results/mine.md -->\n<!-- end -->\n"
    new = render(page, tmp_path)
    line = "| reading | 10 CPU ms | 25 (other) | 2.50x | >= 2 | yes |"
    assert line in new
    assert "old" not in new
    assert "<!-- results/mine.md -->\n| fresh |\n<!-- end -->" in new
    assert render(new, tmp_path) == new
