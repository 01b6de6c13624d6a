"""The benchmarks of training steps run in their smallest setting and say what they should."""

import json

import pytest

pytestmark = pytest.mark.usefixtures("_importable")


def check_rows(content, count):
    assert len(content["rows"]) == count
    for row in content["rows"]:
        assert row["what"]
        assert row["ours"] is None or row["ours"] > 0
        assert row["peer"] is None or row["peer"] > 0


def test_optimizers_and_convolutions(tmp_path):
    import bench_layers

    file = tmp_path / "layers.json"
    content = bench_layers.main(["--tiny", "--out", str(file)])
    check_rows(content, 3)
    assert json.loads(file.read_text())["rows"] == content["rows"]


@pytest.mark.slow
def test_steps_equal_loops_before_they_are_timed(monkeypatch):
    import bench_step
    from peers import loops

    content = bench_step.main(["--tiny", "--only", "demo", "full"])
    assert len(content["rows"]) in (4, 5)
    right = loops.mean
    monkeypatch.setattr(loops, "mean", lambda values: 1.01 * right(values))
    with pytest.raises(AssertionError, match="loops: another loss"):
        bench_step.main(["--tiny", "--only", "demo"])


@pytest.mark.slow
def test_the_first_iteration_of_the_demo_is_timed():
    import bench_step

    (row,) = bench_step.main(["--tiny", "--only", "first"])["rows"]
    assert row["ours"] > 0.5
    assert "CPU s of the training process" in row["why"]


@pytest.mark.slow
def test_crops_and_losses():
    import bench_crops

    rows = bench_crops.main(["--tiny"])["rows"]
    assert len(rows) in (5, 7)
    assert all(row["peer_name"] for row in rows)


def test_exponents_are_fitted_and_plotted(tmp_path):
    import bench_growth

    curve = [(n, 3.0 * n**1.5) for n in (1, 2, 4, 8)]
    assert bench_growth.fit_exponent(curve) == pytest.approx(1.5)
    curves = {"batch": curve, "search": [(10, 1.0), (100, 10.0)]}
    assert "| the batch | 1: 3, 2: 8.485" in bench_growth.table(curves)
    bench_growth.plot(curves, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").stat().st_size > 5000


@pytest.mark.slow
def test_growth_of_every_axis(tmp_path):
    pytest.importorskip("pyarrow")
    import bench_growth

    file = tmp_path / "growth.json"
    content = bench_growth.main(["--tiny", "--out", str(file)])
    assert set(content["curves"]) == {*bench_growth.AXES, "search", "ranks without"}
    assert len(content["rows"]) == len(bench_growth.AXES) + 2  # the search: time and memory
    for suffix in (".json", ".md", ".png"):
        assert file.with_suffix(suffix).exists()


@pytest.mark.slow
def test_search_finds_the_same_rows_as_faiss():
    pytest.importorskip("faiss")
    import bench_search

    rows = bench_search.main(["--tiny"])["rows"]
    assert [row["peer_name"] for row in rows] == ["FAISS", "FAISS"]


def test_learning_curves_are_compared_by_seed(tmp_path):
    import precision_curves

    for precision, shift in (("float32", 0.0), ("bfloat16", 0.01)):
        for seed in (1, 2):
            folder = tmp_path / "runs" / precision / f"seed_{seed}"
            folder.mkdir(parents=True)
            lines = [
                {"_type": "train_iter", "step": step, "loss": 3 - step / 10 + shift}
                for step in range(1, 11)
            ]
            text = "".join(f"json_stats: {json.dumps(line)}\n" for line in lines)
            (folder / "json_stats.log").write_text(text)
            result = {"class_retrieval_r1": {"before": 0.2, "after": 0.6 + shift * seed}}
            (folder / "results.json").write_text(json.dumps(result))
    out = tmp_path / "precision.json"
    words = ["--report-only", "--runs", str(tmp_path / "runs"), "--out", str(out)]
    loss, retrieval = precision_curves.main(words)["rows"]
    assert loss["ours"] == pytest.approx(0.5)  # 0.01 of 2.0, in percent
    assert retrieval["ours"] == pytest.approx(1.5)  # the mean of 1 and 2 points
    assert loss["met"]
    assert "| final loss | 2.0000 | 2.0100 | +0.0100" in out.with_suffix(".md").read_text()
    assert out.with_suffix(".png").stat().st_size > 5000
    (tmp_path / "runs" / "bfloat16" / "seed_1" / "results.json").unlink()
    (tmp_path / "runs" / "bfloat16" / "seed_2" / "results.json").unlink()
    with pytest.raises(SystemExit, match="no seed is finished"):
        precision_curves.main(words)


@pytest.mark.slow
def test_learning_curves_of_three_steps(tmp_path):
    import precision_curves

    content = precision_curves.main(["--tiny", "--runs", str(tmp_path / "runs")])
    assert [run["precision"] for run in content["runs"]] == ["bfloat16", "float32"]
    assert all(len(run["loss"]) == 3 for run in content["runs"])


@pytest.mark.slow
def test_a_step_of_each_method_is_timed_next_to_stica():
    import bench_methods

    rows = bench_methods.main(["--tiny"])["rows"]
    methods = {row["what"].removeprefix("training step of ").partition(",")[0] for row in rows}
    assert methods >= {"SimCLR", "MoCo", "NPID", "CMC", "SwAV", "GDT", "AVID", "MMV", "StiCA"}
    assert all(row["ours"] > 0 for row in rows)
    assert [row["peer_name"] for row in rows].count("StiCA") == len(rows) - 1
