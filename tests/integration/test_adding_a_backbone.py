"""The worked example of docs/adding_a_backbone.md, run as it stands."""

import re
import shlex
from pathlib import Path

import pytest
import torch

from slowfast.config import load_config
from slowfast.config.projects import import_project
from slowfast.models import build
from slowfast.models.build import LOSS_REGISTRY, build_model
from slowfast.models.weights import load_weights
from slowfast.models.zoo.rows import ZOO_REGISTRY, find_row

PAGE = Path(__file__).parents[2] / "docs" / "adding_a_backbone.md"
SMALL = "NUM_GPUS 0 DATA.PATH_TO_DATA_DIR unused RESNET.WIDTH_PER_GROUP 4 AUDIO.WIDTH 4".split()
SMALL += "DATA.TRAIN_CROP_SIZE 33 DATA.NUM_FRAMES 9 MODEL.NUM_CLASSES 5 AUDIO.ENABLE False".split()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def _project(tmp_path_factory):
    """The page's one file, on the Python path; what it registers is taken away again."""
    folder = tmp_path_factory.mktemp("project")
    (code,) = blocks("python")
    (folder / "tiny_conv.py").write_text(code, encoding="utf-8")
    patch = pytest.MonkeyPatch()
    registries = (build.BACKBONE_REGISTRY, build.CHECKPOINT_FORMAT_REGISTRY, ZOO_REGISTRY)
    for registry in registries:
        patch.setattr(registry, "_obj_map", dict(registry._obj_map))
    patch.syspath_prepend(str(folder))
    import_project("tiny_conv")
    yield
    patch.undo()


def make_batch(cfg, size=2):
    views, side = cfg.DATA.TRAIN_CROP_NUM_SPATIAL, cfg.DATA.TRAIN_CROP_SIZE
    video = torch.randn(size, views, 3, cfg.DATA.NUM_FRAMES, side, side)
    return {"video": video, "label": torch.arange(size), "aug_seed": torch.arange(size)}


@pytest.mark.usefixtures("_project")
@pytest.mark.parametrize("command", blocks("bash")[0].strip().splitlines())
def test_each_command_trains_the_example(command, tmp_path):
    words = shlex.split(command)
    assert words[:3] == ["python", "tools/run_net.py", "--cfg"]
    words = [words[3], *words[4:], *SMALL, "OUTPUT_DIR", str(tmp_path)]
    if "StiCA" in words[0]:
        words += ["STICA.WITHIN_WEIGHT", "1.0"]
    cfg = load_config(words[0], words[1:]).cfg
    model = build_model(cfg).train()
    assert type(model.backbone).__name__ == "TinyConv"
    batch = make_batch(cfg)
    loss = LOSS_REGISTRY.get(cfg.MODEL.LOSS_FUNC)(cfg)(model(batch), batch)["loss"]
    loss.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


@pytest.mark.usefixtures("_project")
@pytest.mark.parametrize(("frames", "height", "width"), [(9, 33, 50), (1, 8, 8), (4, 112, 112)])
def test_the_map_is_as_its_docstring_says(frames, height, width):
    cfg = load_config(None, [*SMALL, "MODEL.ARCH", "tiny_conv", *_as_classifier()]).cfg
    backbone = build_model(cfg).backbone
    (feature_map,) = backbone(torch.randn(2, 3, frames, height, width)).maps
    assert feature_map.shape == (2, 16, -(-frames // 2), -(-height // 8), -(-width // 8))


def _as_classifier():
    return ["MODEL.MODEL_NAME", "VideoResNet", "PROJECTS", "['tiny_conv']"]


@pytest.mark.usefixtures("_project")
def test_its_published_weights_load(tmp_path):
    cfg = load_config(None, [*SMALL, "MODEL.ARCH", "tiny_conv", *_as_classifier()]).cfg
    source, model = build_model(cfg), build_model(cfg)
    published = {}
    for name, value in source.state_dict().items():
        part = re.fullmatch(r"backbone\.stages\.(\d)\.(\d)\.(.+)", name)
        name = f"{('conv', 'bn')[int(part[2])]}{part[1]}.{part[3]}" if part else f"fc.{name[16:]}"
        published[name] = value
    torch.save(published, tmp_path / "tiny.pth")
    report = load_weights(model, tmp_path / "tiny.pth")
    assert not report.missed
    assert not report.skipped
    assert torch.equal(model.backbone.stages[1][0].weight, source.backbone.stages[1][0].weight)
    assert find_row("zoo://tiny_conv").published_hash == "0123abcd"
