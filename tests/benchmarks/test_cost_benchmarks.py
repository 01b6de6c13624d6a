"""The benchmarks of data, encoders, crops and ranks run in miniature, and compare what is equal."""

import json

import pytest

pytestmark = pytest.mark.usefixtures("_importable")


def check(content, peers):
    """Every row has a number, and the peer that it should have."""
    assert [row["peer_name"] for row in content["rows"]] == peers
    for row in content["rows"]:
        assert row["ours"] > 0
        assert row["peer"] is None or row["peer"] > 0


def test_augmentation(tmp_path):
    import bench_augment

    file = tmp_path / "augment.json"
    content = bench_augment.main(["--tiny", "--out", str(file)])
    check(content, ["float torch, step by step"] * 2)
    assert 0 < content["mean_difference_in_gray_levels"] < 2
    assert json.loads(file.read_text()) == content


def test_augmentation_of_other_pixels_is_not_timed(monkeypatch):
    import bench_augment

    right = bench_augment.float_view
    monkeypatch.setattr(bench_augment, "float_view", lambda *args: right(*args) + 0.1)
    with pytest.raises(AssertionError, match="pixels differ by"):
        bench_augment.main(["--tiny"])


def test_the_recipe_of_classifiers(monkeypatch):
    import bench_recipe
    from peers import pillow_operations

    pillow = "Pillow, image by image"
    check(bench_recipe.main(["--tiny"]), ["", "", pillow, pillow, "", ""])
    monkeypatch.setattr(pillow_operations, "apply_operation", lambda frames, *_: frames)
    with pytest.raises(AssertionError, match="results differ by"):
        bench_recipe.main(["--tiny"])


def test_encoders_that_are_not_run_keep_their_results(tmp_path):
    import bench_encoders

    file = tmp_path / "encoders.json"
    check(bench_encoders.main(["--tiny", "--out", str(file)]), [""])
    content = json.loads(file.read_text())
    content["encoders"]["other"] = content["encoders"]["tiny"]
    file.write_text(json.dumps(content))
    rows = bench_encoders.main(["--tiny", "--out", str(file)])["rows"]
    assert [row["what"].partition(",")[0] for row in rows] == ["tiny", "other"]


@pytest.mark.slow
def test_the_views_of_a_test(monkeypatch, tmp_path):
    import bench_views

    words = ["--tiny", "--folder", str(tmp_path)]
    content = bench_views.main(words)
    check(content, ["one view at a time"] * 4)
    assert content["equal"]["cosine"] > 0.99
    right = bench_views.make_view
    monkeypatch.setattr(
        bench_views,
        "make_view",
        lambda path, start, *args, **kwargs: right(path, start + 2 / 30, *args, **kwargs),
    )
    with pytest.raises(AssertionError, match="a view shows"):
        bench_views.main(words)


@pytest.mark.distributed
def test_ranks():
    import bench_ranks

    content = bench_ranks.main(["--tiny"])
    check(content, ["exchanged after backward", "1 process, half the clips", ""])
    assert [found["ranks"] for found in content["measured"]] == [1, 2]
    assert [found["gpus"] for found in content["model"]] == [1, 8, 64, 512]


@pytest.mark.slow
def test_what_crops_cost(tmp_path):
    import bench_crop_cost

    file = tmp_path / "crop_cost.json"
    words = ["--backbones", "R2plus1D", "--repeats", "1", "--threads", "1", "--out", str(file)]
    content = bench_crop_cost.main(["--tiny", *words])
    check(content, ["input crops of 37 px"] * 2 + ["input crops of 64 px"] * 2)
    again = bench_crop_cost.main(["--report-only", "--out", str(file)])
    assert again == content
    for suffix in (".json", ".md", ".png"):
        assert file.with_suffix(suffix).exists()
