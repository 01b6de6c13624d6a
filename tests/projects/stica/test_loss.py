import math

import pytest
import torch
from reference import stica as oracle
from stica.loss import within_modal_loss
from stica.model import STiCAOutputs
from stica.released_loss import released_loss

from slowfast.models.build import LOSS_REGISTRY

V, B, D = 2, 5, 6


def _unit(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, D, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(x, dim=-1)


def _outputs(counts=(2, 3, 2, 1), *, audio=True, views=V):
    crops = [_unit(views, n, B, seed=10 + i).requires_grad_() for i, n in enumerate(counts)]
    if not audio:
        return STiCAOutputs(None, None, *crops)
    video, heard = _unit(views, B, seed=1), _unit(B, seed=2)
    return STiCAOutputs(video.requires_grad_(), heard.requires_grad_(), *crops)


def _oracle_total(outputs, valid=None, weight=0.5):
    cross = oracle.cross_modal(outputs.video, outputs.audio, 0.1, valid)
    space = oracle.within(outputs.space_large, outputs.space_small, 0.5)
    time = oracle.within(outputs.time_large, outputs.time_small, 0.5)
    return (1 - weight) * cross + weight * (space + time) / 2


def _gradients(loss, outputs):
    leaves = [x for x in outputs if x is not None and x.numel()]
    return torch.autograd.grad(loss, leaves)


@pytest.fixture
def loss(cfg):
    return LOSS_REGISTRY.get("stica")(cfg)


@pytest.mark.parametrize("views", [2, 3])
def test_total_and_gradient_agree_with_the_oracle(loss, views):
    outputs = _outputs(views=views)
    got, expected = loss(outputs, {})["loss"], _oracle_total(outputs)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)
    for a, b in zip(_gradients(got, outputs), _gradients(expected, outputs), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_every_loss_is_logged_and_detached(loss):
    outputs = _outputs()
    losses = loss(outputs, {})
    assert set(losses) == {"loss", "loss_cross", "loss_within", "loss_space", "loss_time"}
    assert [name for name, loss in losses.items() if loss.requires_grad] == ["loss"]
    for axis, large, small in (
        ("space", outputs.space_large, outputs.space_small),
        ("time", outputs.time_large, outputs.time_small),
    ):
        expected = oracle.within(large, small, 0.5)
        torch.testing.assert_close(losses[f"loss_{axis}"], expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(
        losses["loss_within"], (losses["loss_space"] + losses["loss_time"]) / 2
    )
    torch.testing.assert_close(losses["loss"], (losses["loss_cross"] + losses["loss_within"]) / 2)


def test_samples_without_audio_leave_the_cross_modal_loss_only(loss):
    outputs = _outputs()
    has_audio = torch.tensor([True, False, True, True, False])
    batch = {"audio_valid": has_audio[:, None]}
    losses = loss(outputs, batch)
    expected = _oracle_total(outputs, has_audio.tolist())
    torch.testing.assert_close(losses["loss"], expected, rtol=0, atol=1e-6)
    video, audio, *crops = _gradients(losses["loss"], outputs)
    assert (video[:, ~has_audio] == 0).all()
    assert (audio[~has_audio] == 0).all()
    assert (video[:, has_audio].abs().amax(-1) > 0).all()
    assert all((grad.abs().amax(-1) > 0).all() for grad in crops)
    silent = outputs._replace(audio=torch.where(has_audio[:, None], outputs.audio, 7.0))
    torch.testing.assert_close(loss(silent, batch)["loss"], losses["loss"])


def test_a_batch_without_any_audio_still_trains_on_crops(loss):
    outputs = _outputs()
    losses = loss(outputs, {"audio_valid": torch.zeros(B, 1, dtype=torch.bool)})
    assert losses["loss_cross"] == 0
    grads = _gradients(losses["loss"], outputs)  # the audio branch stays in the graph
    assert (grads[0] == 0).all()
    assert (grads[1] == 0).all()


def test_rows_that_do_not_count_leave_every_loss(loss):
    outputs = _outputs()
    valid = torch.tensor([True, True, False, True, True])
    kept = STiCAOutputs(*(x[..., valid, :] for x in outputs[:6]))
    got = loss(outputs, {"valid": valid, "audio_valid": torch.ones(B, 1, dtype=torch.bool)})
    torch.testing.assert_close(got["loss"], loss(kept, {})["loss"], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("counts", "names"),
    [
        ((0, 0, 0, 0), {"loss_cross"}),
        ((2, 3, 0, 0), {"loss_cross", "loss_within", "loss_space"}),
        ((0, 0, 1, 0), {"loss_cross", "loss_within", "loss_time"}),
    ],
)
def test_a_loss_without_crops_is_left_out(loss, counts, names):
    outputs = _outputs(counts)
    losses = loss(outputs, {})
    assert set(losses) == names | {"loss"}
    parts = [losses["loss_cross"], *([losses["loss_within"]] if len(names) > 1 else [])]
    torch.testing.assert_close(losses["loss"], torch.stack(parts).mean())
    assert losses["loss"].isfinite()


def test_crops_against_audio(cfg):
    cfg.STICA.CROP_KEYS, cfg.STICA.WITHIN_WEIGHT = "audio", 0.2
    outputs, valid = _outputs(), [True, True, False, True, True]
    batch = {"audio_valid": torch.tensor(valid)[:, None]}
    losses = LOSS_REGISTRY.get("stica")(cfg)(outputs, batch)
    space, time = (
        oracle.cross_modal([crop for view in crops for crop in view], outputs.audio, 0.1, valid)
        for crops in (
            torch.cat([outputs.space_large, outputs.space_small], dim=1),
            torch.cat([outputs.time_large, outputs.time_small], dim=1),
        )
    )
    cross = oracle.cross_modal(outputs.video, outputs.audio, 0.1, valid)
    expected = 0.8 * cross + 0.2 * (space + time) / 2
    torch.testing.assert_close(losses["loss"], expected, rtol=0, atol=1e-6)
    assert set(losses) == {"loss", "loss_cross", "loss_crops", "loss_space", "loss_time"}
    gradients = zip(_gradients(losses["loss"], outputs), _gradients(expected, outputs), strict=True)
    for a, b in gradients:
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_without_audio_the_within_modal_loss_has_weight_one(loss):
    losses = loss(_outputs(audio=False), {})
    assert set(losses) == {"loss", "loss_within", "loss_space", "loss_time"}
    torch.testing.assert_close(losses["loss"], losses["loss_within"])


def test_weights_and_temperatures_come_from_the_configuration(cfg):
    cfg.STICA.WITHIN_WEIGHT = 0.2
    cfg.STICA.TEMPERATURE_CROSS, cfg.STICA.TEMPERATURE_WITHIN = 0.3, 0.7
    outputs = _outputs()
    losses = LOSS_REGISTRY.get("stica")(cfg)(outputs, {})
    expected = 0.8 * losses["loss_cross"] + 0.2 * losses["loss_within"]
    torch.testing.assert_close(losses["loss"], expected)
    cross = oracle.cross_modal(outputs.video, outputs.audio, 0.3)
    torch.testing.assert_close(losses["loss_cross"], cross, rtol=0, atol=1e-6)
    space = oracle.within(outputs.space_large, outputs.space_small, 0.7)
    torch.testing.assert_close(losses["loss_space"], space, rtol=0, atol=1e-6)


def test_half_precision_embeddings_are_compared_in_float32(loss):
    outputs = _outputs()
    half = STiCAOutputs(*(x.detach().bfloat16() for x in outputs[:6]))
    losses = loss(half, {})
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    wide = loss(STiCAOutputs(*(x.double() for x in half[:6])), {})
    torch.testing.assert_close(losses["loss"].double(), wide["loss"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("counts", "audio", "queue"),
    [
        *(((2, 3, 2, 1), True, 0), ((2, 3, 2, 1), True, 7), ((2, 3, 2, 1), False, 0)),
        *(((0, 0, 2, 0), True, 0), ((0, 0, 2, 0), True, 7), ((0, 0, 2, 0), False, 0)),
        *(((0, 0, 0, 0), True, 0), ((0, 0, 0, 0), True, 7)),
    ],
)
def test_chance_is_the_loss_of_equal_embeddings(cfg, counts, audio, queue):
    cfg.STICA.WITHIN_WEIGHT = 0.3
    loss, outputs = LOSS_REGISTRY.get("stica")(cfg), _outputs(counts, audio=audio)
    if queue:
        outputs = outputs._replace(queue_video=_unit(queue), queue_audio=_unit(queue))
    equal = STiCAOutputs(*(x if x is None else torch.ones_like(x) / D**0.5 for x in outputs))
    assert loss.chance_level(outputs) == pytest.approx(float(loss(equal, {})["loss"]))


def test_candidates_are_the_clips_of_all_processes(loss, monkeypatch):
    monkeypatch.setattr("slowfast.utils.distributed.world_size", lambda: 64)
    assert loss.chance_level(_outputs()) == pytest.approx(math.log(64 * B))


def test_nothing_to_compare(loss):
    with pytest.raises(ValueError, match=r"DATA\.TRAIN_CROP_NUM_SPATIAL: got 1 view"):
        within_modal_loss(_unit(1, 2, B), _unit(1, 0, B), 0.5)
    with pytest.raises(ValueError, match=r"STICA\.WITHIN_WEIGHT: got 0\.5.*no loss"):
        loss(_outputs((0, 0, 0, 0), audio=False), {})


def test_released_pairs_are_those_of_the_released_loss():
    outputs = _outputs((2, 3, 0, 0), audio=False)
    expected = released_loss(outputs, {}, temperature_within=0.5, within_weight=1.0)
    got = within_modal_loss(outputs.space_large, outputs.space_small, 0.5, pairs="released")
    torch.testing.assert_close(got, expected["loss_within"])


def test_released_pairs_by_their_key(cfg):
    cfg.STICA.PAIRS = "released"
    outputs = _outputs()
    losses = LOSS_REGISTRY.get("stica")(cfg)(outputs, {})
    expected = within_modal_loss(outputs.time_large, outputs.time_small, 0.5, pairs="released")
    torch.testing.assert_close(losses["loss_time"], expected)
    large_alone = within_modal_loss(
        outputs.time_large, outputs.time_small[:, :0], 0.5, pairs="released"
    )
    assert large_alone != expected
