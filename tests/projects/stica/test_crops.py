import pytest
import torch
from reference import stica as oracle
from stica.crops import (
    Boxes,
    CropKind,
    FeatureCrop,
    crop_names,
    crop_size,
    space_tokens,
    time_tokens,
)

from slowfast.models.build import FEATURE_AUG_REGISTRY
from slowfast.models.contracts import temporal_tokens

KINDS = {
    "space_large": CropKind(2, 6 / 7),
    "space_small": CropKind(4, 4 / 7),
    "time_large": CropKind(2, 3 / 4),
    "time_small": CropKind(1, 2 / 4),
}
SEEDS = torch.arange(400)


def _randn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def _only(**kinds):
    """Crops of the named kinds, none of the others."""
    return FeatureCrop(**{name: kinds.get(name, CropKind(0, 0.5)) for name in KINDS})


@pytest.mark.parametrize(
    ("axis", "scale", "expected"),
    [
        (7, 6 / 7, 6),
        (7, 4 / 7, 4),
        (7, 0.857, 6),
        (4, 6 / 7, 3),
        (4, 4 / 7, 2),
        (10, 6 / 7, 9),
        (10, 4 / 7, 6),
        (4, 0.75, 3),
        (4, 0.5, 2),
        (8, 0.75, 6),
        (8, 0.5, 4),
        (15, 0.75, 11),
        (15, 0.5, 8),
        (45, 0.7, 32),
        (3, 6 / 7, 2),
        (2, 6 / 7, 1),
        (2, 0.75, 1),
        (7, 0.01, 1),
        (7, 0.999, 6),
    ],
)
def test_size_of_a_crop(axis, scale, expected):
    assert crop_size(axis, scale, "FEATURE_CROP.X") == expected


@pytest.mark.parametrize("height", [2, 4, 7, 10])
@pytest.mark.parametrize("width", [3, 5, 7, 10])
def test_every_box_in_space_is_sampled_and_every_position_reached(height, width):
    boxes = FeatureCrop(**KINDS).sample([(4, height, width)], SEEDS, len(SEEDS))[0].space
    for slot, scale in enumerate([6 / 7] * 2 + [4 / 7] * 4):
        for axis, size in enumerate((height, width)):
            window = crop_size(size, scale, "FEATURE_CROP.X")
            first, last = boxes[:, slot, 2 * axis], boxes[:, slot, 2 * axis + 1]
            assert torch.equal(last - first, torch.full_like(first, window))
            assert set(first.tolist()) == set(range(size - window + 1))


@pytest.mark.parametrize("steps", range(2, 16))
def test_every_position_in_time_is_sampled_and_every_step_reached(steps):
    boxes = FeatureCrop(**KINDS).sample([(steps, 7, 7)], SEEDS, len(SEEDS))[0]
    for slot, scale in enumerate([0.75, 0.75, 0.5]):
        window = crop_size(steps, scale, "FEATURE_CROP.X")
        first = boxes.time[:, slot, 0]
        assert torch.equal(boxes.time[:, slot, 1] - first, torch.full_like(first, window))
        assert set(first.tolist()) == set(range(steps - window + 1))
    assert boxes.longest == crop_size(steps, 0.75, "FEATURE_CROP.X")


def test_positions_are_equally_likely():
    seeds = torch.arange(20000)
    crops = _only(space_small=CropKind(1, 4 / 7), time_large=CropKind(1, 0.75))
    boxes = crops.sample([(4, 7, 7)], seeds, len(seeds))[0]
    # Each of n positions: expected N / n, standard deviation below sqrt(N / n); 5 of them.
    for first, count in ((boxes.space[:, 0, 0], 4), (boxes.space[:, 0, 2], 4)):
        counts = torch.bincount(first, minlength=count).double()
        assert (counts - 5000).abs().max() < 5 * 5000**0.5
    counts = torch.bincount(boxes.time[:, 0, 0], minlength=2).double()
    assert (counts - 10000).abs().max() < 5 * 10000**0.5


def test_rows_columns_slots_views_and_samples_are_independent():
    boxes = FeatureCrop(**KINDS).sample([(8, 7, 7)], SEEDS, 2 * len(SEEDS))[0]
    firsts = torch.cat([boxes.space[..., 0], boxes.space[..., 2], boxes.time[..., 0]], dim=1)
    by_view = firsts.view(len(SEEDS), 2, -1).flatten(1).double()  # (B, V * numbers)
    correlation = torch.corrcoef(by_view.T)
    assert (correlation - torch.eye(len(correlation))).abs().max() < 5 / len(SEEDS) ** 0.5


def test_a_sample_depends_on_the_seed_and_the_view_only():
    crops, size = FeatureCrop(**KINDS), [(4, 7, 7)]
    seeds = torch.tensor([5, 9, 2**62])
    both = crops.sample(size, seeds, 6)[0]
    alone = crops.sample(size, seeds[1:2], 2)[0]
    assert torch.equal(both.space[2:4], alone.space)
    assert torch.equal(both.time[2:4], alone.time)
    one_view = crops.sample(size, seeds, 3)[0]
    assert torch.equal(both.space[::2], one_view.space)


def test_one_sample_for_the_batch_follows_from_its_smallest_seed():
    crops = FeatureCrop(**KINDS, per_sample=False)
    boxes = crops.sample([(4, 7, 7)], torch.tensor([7, 3, 11]), 6)[0]
    shuffled = crops.sample([(4, 7, 7)], torch.tensor([11, 7, 3]), 6)[0]
    alone = FeatureCrop(**KINDS).sample([(4, 7, 7)], torch.tensor([3]), 2)[0]
    for view in (0, 1):
        assert torch.equal(boxes.space[view::2], alone.space[view : view + 1].expand(3, -1, -1))
    assert torch.equal(boxes.space, shuffled.space)
    assert torch.equal(boxes.time, shuffled.time)
    assert not torch.equal(boxes.space[0], boxes.space[1])  # views are sampled apart


def test_pathways_of_different_size_are_cropped_at_the_same_places():
    wide, narrow = FeatureCrop(**KINDS).sample([(4, 14, 14), (4, 7, 7)], SEEDS, len(SEEDS))
    assert torch.equal(wide.space, 2 * narrow.space)
    assert torch.equal(wide.time, narrow.time)


@pytest.mark.parametrize("steps", [(2, 16), (4, 32), (8, 32), (16, 64), (7, 7)])
def test_pathways_of_different_length_are_cropped_to_the_same_seconds_and_positions(steps):
    """SlowFast's maps: however few the slow pathway's steps, the fast one keeps the same part."""
    slow, fast = FeatureCrop(**KINDS).sample(
        [(steps[0], 7, 6), (steps[1], 7, 6)], SEEDS, len(SEEDS)
    )
    assert torch.equal(slow.time * (steps[1] // steps[0]), fast.time)
    assert torch.equal(slow.space, fast.space)
    assert fast.longest == int((fast.time[..., 1] - fast.time[..., 0]).max())
    alone = FeatureCrop(**KINDS).sample([(steps[0], 7, 6)], SEEDS, len(SEEDS))[0]
    assert torch.equal(slow.time, alone.time)  # the other pathway changes nothing


def test_lengths_that_do_not_divide_are_cropped_to_the_nearest_step():
    slow, fast = FeatureCrop(**KINDS).sample([(7, 7, 7), (30, 7, 7)], SEEDS, len(SEEDS))
    assert (slow.time[:, 0, 1] - slow.time[:, 0, 0]).unique().tolist() == [5]  # 0.71
    assert (fast.time[:, 0, 1] - fast.time[:, 0, 0]).unique().tolist() == [23]  # 0.77


def test_space_tokens_are_the_oracles():
    feature_map = _randn(3, 5, 4, 7, 6)
    crops = FeatureCrop(**KINDS)
    boxes = crops.sample([(4, 7, 6)], torch.tensor([1, 2, 3]), 3)[0].space
    tokens = space_tokens(feature_map, boxes)
    assert tokens.values.shape == (18, 4, 5)
    for slot in range(6):
        for row in range(3):
            expected = oracle.space_crop(feature_map[row], boxes[row, slot].tolist())
            got = tokens.values[slot * 3 + row]
            torch.testing.assert_close(got, torch.stack(expected), rtol=0, atol=1e-12)
    assert tokens.mask.all()
    assert torch.equal(tokens.positions, torch.arange(4).expand(18, 4))


@pytest.mark.parametrize("steps", [2, 3, 4, 8, 15])
def test_time_tokens_are_the_oracles(steps):
    feature_map = _randn(3, 5, steps, 3, 2)
    boxes = FeatureCrop(**KINDS).sample([(steps, 3, 2)], torch.tensor([1, 2, 3]), 3)[0]
    tokens = time_tokens(feature_map, boxes.time, boxes.longest)
    for slot in range(3):
        for row in range(3):
            first, last = boxes.time[row, slot].tolist()
            expected = torch.stack(oracle.time_crop(feature_map[row], (first, last)))
            i, length = slot * 3 + row, last - first
            torch.testing.assert_close(tokens.values[i, :length], expected, rtol=0, atol=1e-12)
            assert tokens.mask[i].tolist() == [t < length for t in range(boxes.longest)]
            assert tokens.positions[i, :length].tolist() == list(range(first, last))
            assert (tokens.values[i, length:] == 0).all()
    assert tokens.positions.max() < steps


def test_groups_name_their_slots_and_samples():
    groups = FeatureCrop(**KINDS)([_randn(4, 3, 4, 7, 7)], torch.tensor([1, 2]))
    assert [group.names for group in groups] == [
        ("space_large_0", "space_large_1", *(f"space_small_{i}" for i in range(4))),
        ("time_large_0", "time_large_1", "time_small_0"),
    ]
    for group in groups:
        assert torch.equal(group.sample, torch.arange(4).repeat(len(group.names)))
        assert group.tokens[0].values.shape[0] == 4 * len(group.names)
    assert groups[1].tokens[0].values.shape[1] == 3  # not stretched to the map's 4 steps


def test_two_pathways_have_tokens_of_their_own_length():
    maps = [_randn(2, 6, 4, 7, 7), _randn(2, 3, 16, 7, 7)]
    space, time = FeatureCrop(**KINDS)(maps, torch.tensor([1, 2]))
    assert [t.values.shape for t in space.tokens] == [(12, 4, 6), (12, 16, 3)]
    assert [t.values.shape for t in time.tokens] == [(6, 3, 6), (6, 12, 3)]


def test_a_kind_without_crops_is_left_out():
    crops = _only(time_large=CropKind(1, 0.75))
    groups = crops([_randn(2, 3, 4, 7, 7)], torch.tensor([1, 2]))
    assert [group.names for group in groups] == [("time_large_0",)]
    assert _only()([_randn(2, 3, 4, 7, 7)], torch.tensor([1, 2])) == []


def test_a_single_step_can_be_cropped_in_space():
    groups = _only(space_large=CropKind(2, 6 / 7))([_randn(2, 3, 1, 7, 7)], torch.tensor([1, 2]))
    assert groups[0].tokens[0].values.shape == (4, 1, 3)


@pytest.mark.parametrize(
    ("crops", "shape", "message"),
    [
        (FeatureCrop(**KINDS), (2, 3, 1, 7, 7), r"TIME_LARGE: got a feature map of 1 time"),
        (_only(time_small=CropKind(1, 0.5)), (2, 3, 1, 7, 7), r"NUM_FRAMES.*TIME_SMALL\.NUM 0"),
        (FeatureCrop(**KINDS), (2, 3, 4, 1, 1), r"SPACE_LARGE.*DATA\.TRAIN_CROP_SIZE"),
        (FeatureCrop(**KINDS), (5, 3, 4, 7, 7), "5 feature maps for 2 samples"),
    ],
)
def test_maps_that_cannot_be_cropped(crops, shape, message):
    with pytest.raises(ValueError, match=message):
        crops([_randn(*shape)], torch.tensor([1, 2]))


@pytest.mark.parametrize("last_position", [True, False])
@pytest.mark.parametrize("size", [(4, 7, 7), (1, 1, 1)])
def test_a_scale_of_one_is_the_full_map(size, last_position):
    full = CropKind(1, 1.0)
    crops = _only(last_position=last_position, space_large=full, time_large=full)
    feature_map = _randn(2, 3, *size)
    for group in crops([feature_map], torch.tensor([1, 2])):
        expected = temporal_tokens(feature_map)
        torch.testing.assert_close(group.tokens[0].values, expected.values, rtol=0, atol=1e-12)
        assert torch.equal(group.tokens[0].positions, expected.positions)


@pytest.mark.parametrize("kind", [CropKind(-1, 0.5), CropKind(1, 1.1), CropKind(1, 0.0)])
def test_impossible_kinds_are_refused(kind):
    with pytest.raises(ValueError, match=r"space_small: got NUM"):
        FeatureCrop(**{**KINDS, "space_small": kind})


def test_the_gradient_reaches_the_positions_of_a_crop_and_no_other():
    feature_map = _randn(1, 2, 4, 5, 5).requires_grad_()
    space_tokens(feature_map, torch.tensor([[[1, 3, 2, 4]]])).values.sum().backward()
    inside = torch.zeros(5, 5, dtype=torch.bool)
    inside[1:3, 2:4] = True
    assert torch.equal(feature_map.grad[0, 0, 0] != 0, inside)
    feature_map.grad = None
    time_tokens(feature_map, torch.tensor([[[1, 3]]]), longest=2).values.sum().backward()
    assert torch.equal(feature_map.grad[0, 0, :, 0, 0] != 0, torch.tensor([0, 1, 1, 0]).bool())


def test_built_from_the_configuration(cfg):
    cfg.FEATURE_CROP.PER_SAMPLE = False
    cfg.FEATURE_CROP.LAST_POSITION = False
    crops = FEATURE_AUG_REGISTRY.get("feature_crop")(cfg)
    assert crops.kinds == KINDS
    assert crops.per_sample is False
    assert crops.last_position is False
    assert crop_names({"a": 2, "b": 1}) == ("a_0", "a_1", "b_0")
    assert Boxes._fields == ("space", "time", "longest")


def test_without_the_last_position_large_crops_stand_still():
    crops = FeatureCrop(**KINDS, last_position=False)
    boxes = crops.sample([(4, 7, 7)], torch.arange(200), 200)[0]
    large, small = boxes.space[:, : KINDS["space_large"].num], boxes.space[:, -1]
    assert torch.equal(large.unique(dim=0).unique(dim=1), torch.tensor([[[0, 6, 0, 6]]]))
    assert small[:, 0].unique().tolist() == [0, 1, 2]  # 4 of 7 positions: 3 would be the last
    assert boxes.time[:, 0].unique(dim=0).tolist() == [[0, 3]]


@pytest.mark.parametrize("per_sample", [True, False])
def test_regions_are_the_boxes_of_the_crops(per_sample):
    """A map of its own coordinates: the crops average the positions that the regions name."""
    crops = FeatureCrop(**KINDS, per_sample=per_sample)
    steps, height, width = 8, 7, 6
    axes = torch.meshgrid(
        *(torch.arange(n).double() for n in (steps, height, width)), indexing="ij"
    )
    feature_map = torch.stack(axes).expand(4, 3, steps, height, width)  # 2 samples of 2 views
    maps, seeds = [feature_map, feature_map[:, :, ::2]], torch.tensor([11, 5])
    regions = crops.regions(maps, seeds)
    groups = crops(maps, seeds)
    assert regions.names == tuple(name for group in groups for name in group.names)
    assert regions.extent.shape == (4, 9, 3, 2)
    ends = regions.extent * torch.tensor([steps, height, width])[:, None]
    middle = (ends[..., 0] + ends[..., 1] - 1) / 2  # (4, 9, 3): mean coordinates inside
    number = 0
    for group in groups:
        values, mask, _ = group.tokens[0]
        means = (values * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        for k in range(len(group.names)):
            own = means[4 * k : 4 * k + 4]
            torch.testing.assert_close(own, middle[:, number].double(), rtol=0, atol=1e-5)
            number += 1


def test_regions_of_kinds_that_are_off():
    maps = [torch.zeros(1, 2, 4, 7, 7)]
    only_time = _only(time_small=CropKind(1, 0.5)).regions(maps, SEEDS[:1])
    assert only_time.names == ("time_small_0",)
    assert only_time.extent[0, 0, 1:].tolist() == [[0, 1], [0, 1]]
    assert only_time.extent[0, 0, 0].diff().item() == 0.5
    assert _only().regions(maps, SEEDS[:1]).extent.shape == (1, 0, 3, 2)
