"""AVID-CMA's encoders: names, shapes, what they compute from weights under the published names."""

import pytest
import torch
from stica.avid import avid_cma
from torch.nn import functional as F

from slowfast.models.contracts import spatiotemporal_tokens
from slowfast.models.joint_stem import JointStemR2plus1d as AvidR2plus1d
from slowfast.models.joint_stem import PlainConv2d as AvidConv2d
from slowfast.models.weights import load_weights


def random_state(*modules):
    """Weights of modules under AVID's names, as DataParallel saved them."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for encoder, module in modules:
        for name, value in module.state_dict().items():
            values = (
                torch.randn(value.shape, generator=generator)
                if value.is_floating_point()
                else value
            )
            if "running_var" in name:
                values = 0.5 + values.abs()
            elif value.dim() > 1:
                values = values * (2 / value[0].numel()) ** 0.5
            state[f"module.{encoder}.{name}"] = values
    return state


def norm(x, state, name):
    mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    return F.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-5)


def video_oracle(video, state):
    """The published network, layer by layer, from its parameter names alone."""
    state = {k.removeprefix("module.video_model."): v for k, v in state.items()}
    x = F.conv3d(video, state["conv1.0.weight"], stride=(1, 2, 2), padding=(1, 3, 3))
    x = F.relu(norm(x, state, "conv1.1"))
    x = F.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))
    for stage in (2, 3, 4, 5):
        for block in (0, 1):
            at, step = f"conv{stage}x.{block}", 2 if stage > 2 and block == 0 else 1
            shortcut = x
            if f"{at}.res_conv.weight" in state:
                shortcut = F.conv3d(x, state[f"{at}.res_conv.weight"], stride=step)
            for half, stride in (("1", step), ("2", 1)):
                space, time = (
                    state[f"{at}.spt_conv{half}.weight"],
                    state[f"{at}.tmp_conv{half}.weight"],
                )
                x = F.conv3d(x, space, stride=(1, stride, stride), padding=(0, 1, 1))
                x = F.relu(norm(x, state, f"{at}.spt_bn{half}"))
                x = F.conv3d(x, time, stride=(stride, 1, 1), padding=(1, 0, 0))
                if half == "1":
                    x = F.relu(norm(x, state, f"{at}.tmp_bn1"))
            x = F.relu(norm(x + shortcut, state, f"{at}.out_bn"))
    return x


def audio_oracle(spectrogram, state):
    """The same of the audio encoder, which reads (B, 1, S, F)."""
    state = {k.removeprefix("module.audio_model."): v for k, v in state.items()}
    x = F.conv2d(spectrogram, state["conv1.0.weight"], stride=2, padding=3)
    x = F.relu(norm(x, state, "conv1.1"))
    for block, stride in ((1, 2), (2, 2), (3, 2), (4, 1)):
        for half, step in ((1, stride), (2, 1)):
            x = F.conv2d(x, state[f"block{block}.conv{half}.weight"], stride=step, padding=1)
            x = F.relu(norm(x, state, f"block{block}.bn{half}"))
    return x


def encoders(width=4):
    return AvidR2plus1d(width=width).eval(), AvidConv2d(width=width).eval()


def test_published_weights_give_the_published_networks_maps(tmp_path):
    video_encoder, audio_encoder = encoders()
    state = random_state(("video_model", video_encoder), ("audio_model", audio_encoder))
    model = torch.nn.ModuleDict({"backbone": video_encoder, "audio_backbone": audio_encoder})
    state["module.video_proj.projection.0.weight"] = torch.ones(2, 2)
    torch.save({"model": state, "epoch": 20, "optimizer": {}}, tmp_path / "avid.pth.tar")
    report = load_weights(model, tmp_path / "avid.pth.tar")
    assert not report.missed
    assert list(report.skipped) == ["video_proj.projection.0.weight"]
    video, audio = torch.randn(2, 3, 9, 48, 33), torch.randn(2, 1, 40, 64)
    with torch.no_grad():
        maps, expected = video_encoder(video).maps[0], video_oracle(video, state)
        heard = audio_encoder(audio).maps[0]
    torch.testing.assert_close(maps, expected, atol=1e-5, rtol=1e-4)
    assert maps.shape == (2, 32, 2, 2, 2)
    expected = audio_oracle(audio.transpose(2, 3), state).transpose(2, 3)
    torch.testing.assert_close(heard, expected, atol=1e-5, rtol=1e-4)
    pooled = video_encoder.native_pooling()(spatiotemporal_tokens(maps))
    assert torch.equal(pooled, F.adaptive_max_pool3d(maps, 1).flatten(1))


def test_the_published_size():
    with torch.device("meta"):
        video, audio = encoders(64)
    shapes = {name: tuple(value.shape) for name, value in video.state_dict().items()}
    assert shapes["conv1.0.weight"] == (64, 3, 3, 7, 7)
    assert shapes["conv3x.0.spt_conv1.weight"] == (128, 64, 1, 3, 3)
    assert shapes["conv5x.1.tmp_conv2.weight"] == (512, 512, 3, 1, 1)
    assert shapes["conv4x.0.res_conv.weight"] == (256, 128, 1, 1, 1)
    assert "conv2x.0.res_conv.weight" not in shapes
    assert audio.state_dict()["block4.conv1.weight"].shape == (512, 256, 3, 3)


@pytest.mark.parametrize("state", [{}, {"stem.0.weight": torch.ones(1)}])
def test_other_formats_are_not_claimed(state):
    assert avid_cma(state) is None
