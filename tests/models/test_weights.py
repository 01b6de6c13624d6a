"""Loading: paths, addresses, the zoo; formats chosen by fit; inflating, adapting, reports."""

import argparse
import io
import re

import numpy as np
import pytest
import torch
from helpers.caffe2_files import write_caffe2
from helpers.http_files import serve
from helpers.zoo_files import basic_image_name, blob_name, flattened, image_name, renamed
from torch import nn

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import UserError, load_config
from slowfast.models.build import build_model
from slowfast.models.weights import can_resume, load_state, load_weights, read_checkpoint
from slowfast.models.zoo import rows as zoo

NONLOCAL = "NONLOCAL.LOCATION [[[],[]],[[1],[]],[[],[]],[[],[]]]".split(" ", 1)


def build(*words, seed=0):
    common = ("NUM_GPUS", 0, "DATA.PATH_TO_DATA_DIR", "unused", "RESNET.WIDTH_PER_GROUP", 8)
    cfg = load_config(None, [str(word) for word in (*common, *words)]).cfg
    torch.manual_seed(seed)
    return build_model(cfg)


def small_resnet(arch="i3d", **fields):
    return build("MODEL.MODEL_NAME", "ResNet", "MODEL.ARCH", arch, **fields)


def small_video_resnet(**fields):
    words = ("MODEL.MODEL_NAME", "VideoResNet", "MODEL.ARCH", "r3d_18", "MODEL.NUM_CLASSES", 5)
    return build(*words, **fields)


def assert_equal_weights(model, other):
    theirs = other.state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(value, theirs[name]), name


def foreign(model):
    """The model's weights as torchvision would save them."""
    state = model.state_dict()
    rename = {"head.projection.": "fc.", "backbone.": ""}
    for ours, theirs in rename.items():
        state = {re.sub(f"^{re.escape(ours)}", theirs, k): v for k, v in state.items()}
    return state


PREFIXES = [
    "module.",
    "_orig_mod.",
    "model.",
    "module._orig_mod.",
    "_orig_mod.module.",
    "model._orig_mod.",
    "model.module.",
    "module.model.module._orig_mod.",
]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("rename", [dict, None], ids=["ours", "torchvision"])
def test_prefixes_of_wrappers(tmp_path, prefix, rename):
    source, model = small_video_resnet(seed=1), small_video_resnet()
    state = source.state_dict() if rename else foreign(source)
    torch.save({"model": {f"{prefix}{k}": v for k, v in state.items()}}, tmp_path / "a.pth")
    report = load_weights(model, tmp_path / "a.pth")
    assert not report.missed
    assert not report.skipped
    assert_equal_weights(model, source)


def test_a_compiled_backbone_next_to_other_keys(tmp_path):
    source, model = small_video_resnet(seed=1), small_video_resnet()
    state = {f"model.{k}".replace("backbone.", "backbone._orig_mod."): v
             for k, v in source.state_dict().items()}  # fmt: skip
    torch.save({"state_dict": {**state, "criterion.weight": torch.ones(2)}}, tmp_path / "a.ckpt")
    assert list(load_weights(model, tmp_path / "a.ckpt").skipped) == ["criterion.weight"]
    assert_equal_weights(model, source)


@pytest.mark.parametrize(
    "container", [None, "model_state", "state_dict", "model", "model_state_dict", "module"]
)
def test_a_path_in_every_container(tmp_path, container):
    source, model = small_video_resnet(seed=1), small_video_resnet()
    state = foreign(source)
    torch.save({container: state} if container else state, tmp_path / "a.pth")
    report = load_weights(model, tmp_path / "a.pth")
    assert_equal_weights(model, source)
    assert not report.missed
    assert not report.skipped


def test_an_address(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path))
    source, model = small_video_resnet(seed=1), small_video_resnet()
    content = io.BytesIO()
    torch.save(foreign(source), content)
    with serve(content.getvalue()) as server:
        load_weights(model, server.url("r3d.pth"))
    assert_equal_weights(model, source)


@pytest.fixture
def row(tmp_path, monkeypatch):
    """A row of the zoo whose address is a local server."""
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "cache"))
    content = io.BytesIO()
    torch.save({"model_state": foreign(small_video_resnet(seed=1))}, content)
    with serve(content.getvalue()) as server:
        row = zoo.ZooEntry(
            name="test_r3d",
            url=server.url("r3d.pth"),
            config="Kinetics/torchvision/R3D_18.yaml",
            format="torchvision",
            data="noise",
            license="none",
            source="this test",
        )
        entries = zoo.ZOO_REGISTRY._obj_map
        monkeypatch.setitem(entries, row.name, lambda: row)
        yield row


def test_the_zoo_by_name(row):
    model = small_video_resnet()
    load_weights(model, "zoo://test_r3d")
    assert_equal_weights(model, small_video_resnet(seed=1))


def test_the_wrong_network_for_a_row_is_told_the_right_config(row):
    message = r"TEST.X: no key of the checkpoint matches .* zoo://test_r3d is for --cfg Kinetics"
    with pytest.raises(UserError, match=message):
        load_weights(small_resnet(), "zoo://test_r3d", key="TEST.X")


def test_an_unknown_row_is_told_the_nearest():
    with pytest.raises(UserError, match=r"zoo://torchvision_r3d_81: unknown.*'torchvision_r3d_18'"):
        load_weights(small_video_resnet(), "zoo://torchvision_r3d_81")


def test_names_of_ddp_and_patterns_are_cleared(tmp_path):
    source, model = small_video_resnet(seed=1), small_video_resnet()
    state = {f"module.net.{name}": value for name, value in foreign(source).items()}
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(UserError, match="no key of the checkpoint matches"):
        load_weights(model, tmp_path / "a.pth")
    load_weights(model, tmp_path / "a.pth", clear_patterns=("module.net.",))
    assert_equal_weights(model, source)


def test_pyslowfasts_pattern_clears_the_backbone_of_a_contrastive_file(tmp_path):
    """As its YAMLs mean it: on the file's keys, where ``backbone.`` is in front of the network."""
    source, model = small_resnet("slow", seed=1), small_resnet("slow")
    state = {k: v for k, v in source.state_dict().items() if k.startswith("backbone.")}
    state["backbone.head.projection.projection.0.weight"] = torch.ones(3, 3)
    state["queue_x"] = torch.ones(4)
    torch.save({"model_state": state, "epoch": 199}, tmp_path / "moco.pyth")
    for patterns in ((), ("backbone.",)):
        report = load_weights(model, tmp_path / "moco.pyth", clear_patterns=patterns)
        assert_equal_weights(model.backbone, source.backbone)
        assert any(key.endswith("queue_x") for key in report.skipped)
        assert report.missed == ["head.projection.bias", "head.projection.weight"]


def test_the_report_says_what_matched_missed_and_was_skipped(tmp_path, caplog):
    source = small_video_resnet(seed=1)
    state = foreign(source)
    state["fc.weight"] = torch.ones(7, 3)
    state["epoch_of_something"] = 3
    del state["layer4.1.conv2.0.weight"]
    torch.save(state, tmp_path / "a.pth")
    with caplog.at_level("INFO", logger="slowfast"):
        report = load_weights(small_video_resnet(), tmp_path / "a.pth")
    assert report.missed == ["backbone.layer4.1.conv2.0.weight", "head.projection.weight"]
    assert report.skipped["head.projection.weight"] == "shape (7, 3) -> (5, 64) in the model"
    text = str(report)
    assert f"{len(report.matched)} keys loaded, 2 of the model's missing" in text
    assert "missing: backbone.layer4.1.conv2.0.weight, head.projection.weight" in text
    assert "skipped, shape (7, 3) -> (5, 64) in the model: head.projection.weight" in text
    assert text in caplog.text
    assert "only 99 of the backbone's 100 keys are in the checkpoint" in caplog.text


def test_a_format_that_is_named_must_fit(tmp_path):
    torch.save(foreign(small_video_resnet()), tmp_path / "a.pth")
    with pytest.raises(UserError, match="keys are not of 'caffe2'"):
        load_weights(small_video_resnet(), tmp_path / "a.pth", checkpoint_type="caffe2")
    model = small_video_resnet()
    load_weights(model, tmp_path / "a.pth", checkpoint_type="torchvision_video_resnet")


def test_our_own_names_need_no_format(tmp_path, caplog):
    source, model = small_resnet(seed=1), small_resnet()
    torch.save({"model_state": source.state_dict()}, tmp_path / "a.pyth")
    with caplog.at_level("INFO", logger="slowfast"):
        load_weights(model, tmp_path / "a.pyth")
    assert_equal_weights(model, source)
    assert "checkpoint format" not in caplog.text


@pytest.mark.parametrize(
    "words",
    [
        ("MODEL.MODEL_NAME", "ResNet", "MODEL.ARCH", "i3d"),
        ("MODEL.MODEL_NAME", "SlowFast", "MODEL.ARCH", "slowfast", *NONLOCAL),
    ],
)
def test_a_caffe2_pickle_fills_the_whole_network(tmp_path, words):
    source, model = build(*words, seed=1), build(*words)
    blobs = {"lr": 0.1, "model_iter": 3, "conv1_w_momentum": np.ones(3, np.float32)}
    for name, value in source.state_dict().items():
        blob = blob_name(name.removeprefix("backbone."))
        if blob is not None:
            blobs[blob] = value.numpy()
    path = write_caffe2(tmp_path / "a.pkl", blobs)
    for kind in ("pytorch", "caffe2"):
        report = load_weights(model, path, checkpoint_type=kind)
        assert_equal_weights(model, source)
        assert not report.missed
        assert set(report.skipped) == {"lr", "model_iter", "conv1_w_momentum"}


def test_an_image_network_is_inflated(tmp_path, caplog):
    model = small_resnet()
    images = {}
    for name, value in model.state_dict().items():
        if theirs := image_name(name.removeprefix("backbone.")):
            images[theirs] = torch.rand_like(value.float()).mean(2) if value.dim() == 5 else value
    images["fc.weight"] = torch.ones(1000, 4)
    torch.save(images, tmp_path / "resnet50.pth")
    report = load_weights(model, tmp_path / "resnet50.pth", inflate_2d=True)
    assert report.missed == ["head.projection.bias", "head.projection.weight"]
    assert set(report.adapted) == {k for k, v in model.state_dict().items() if v.dim() == 5}
    stem = model.state_dict()["backbone.s1.pathway0_stem.conv.weight"]  # (8, 3, 5, 7, 7)
    torch.testing.assert_close(stem.sum(2), images["conv1.weight"])
    assert torch.equal(stem[:, :, 0], stem[:, :, 4])
    plain = load_weights(small_resnet(), tmp_path / "resnet50.pth")
    assert "others have random values" in caplog.text
    why = plain.skipped["backbone.s1.pathway0_stem.conv.weight"]
    assert why.endswith("(TRAIN.CHECKPOINT_INFLATE would inflate it)")


def test_an_image_network_of_basic_blocks_is_inflated(tmp_path):
    model = small_video_resnet()
    images = flattened(renamed(foreign(model), basic_image_name))
    torch.save(images, tmp_path / "resnet18.pth")
    report = load_weights(model, tmp_path / "resnet18.pth", inflate_2d=True)
    assert report.missed == ["head.projection.bias", "head.projection.weight"]


class Positions(nn.Module):
    """A part that adapts its table by repeating it."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(6, 2))
        self.other = nn.Parameter(torch.zeros(3))

    def adapt_tensor(self, name, value, like):
        return value.repeat_interleave(2, 0) if name == "table" else None


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.ModuleDict({"part": Positions()})
        self.asked = []

    def adapt_tensor(self, name, value, like):
        self.asked.append(name)
        return torch.ones(9) if name == "backbone.part.other" else None


def test_modules_adapt_their_own_tensors_innermost_first():
    model = Outer()
    state = {"backbone.part.table": torch.arange(6.0).reshape(3, 2)}
    state["backbone.part.other"] = torch.ones(5)
    report = load_state(model, state)
    assert model.backbone["part"].table[:, 0].tolist() == [0, 0, 2, 2, 4, 4]
    assert report.adapted == {"backbone.part.table": "(3, 2) -> (6, 2)"}
    assert model.asked == ["backbone.part.other"]  # of the wrong shape: not taken
    assert report.skipped == {"backbone.part.other": "shape (5,) -> (3,) in the model"}


def test_a_linear_layer_fits_a_convolution_of_size_one():
    model = nn.ModuleDict({"backbone": nn.Conv3d(4, 3, 1)})
    weight = torch.rand(3, 4)
    report = load_state(model, {"backbone.weight": weight})
    assert torch.equal(model["backbone"].weight[..., 0, 0, 0], weight)
    assert list(report.adapted) == ["backbone.weight"]


def test_only_our_own_progress_is_resumed(tmp_path):
    pyslowfasts = {"model_state": {}, "optimizer_state": {}, "epoch": 9, "cfg": ""}
    assert not can_resume(pyslowfasts)
    assert can_resume({**pyslowfasts, "iteration": 0})
    torch.save({**pyslowfasts, "args": argparse.Namespace()}, tmp_path / "a.pyth")
    assert read_checkpoint(tmp_path / "a.pyth")["epoch"] == 9
