"""Every shipped YAML loads, validates, builds and runs a forward and backward pass, made small.

Of the YAMLs that describe the same network one is always trained, the others are slow tests.
"""

from functools import cache, partial

import pytest
import torch

from slowfast.config import load_config
from slowfast.config.load import is_demo
from slowfast.config.paths import shipped_configs
from slowfast.datasets.preprocess.batch import build_preprocess
from slowfast.datasets.views.sample_views import sample_shapes
from slowfast.models.build import LOSS_REGISTRY, construct_model
from slowfast.models.method import DatasetInfo, Progress, call_hook
from slowfast.models.optimizer import construct_optimizer

ROOT = shipped_configs()
SMALL = (
    "RESNET.WIDTH_PER_GROUP 8 AUDIO.WIDTH 8 NUM_GPUS 0 DATA.NUM_FRAMES 16 SOLVER.BASE_LR 0.01 "
    "X3D.WIDTH_FACTOR 0.5 X3D.DEPTH_FACTOR 0.4 X3D.DIM_C5 16 MVIT.EMBED_DIM 8 MVIT.NUM_HEADS 1"
)
NETWORK = ("MODEL", "RESNET", "NONLOCAL", "SLOWFAST", "X3D", "MVIT", "AUDIO", "BN")
STRIDE_16 = {"c3d", "mc3_18", "r2plus1d_18", "r2plus1d_34", "r3d_18"}


def configs():
    """Every YAML that is a job: not the overlays for the demo set, not the sweeps."""
    found = sorted(p for p in ROOT.rglob("*.yaml") if p.parent.name != "sweeps")
    return [str(p.relative_to(ROOT)) for p in found if not p.name.startswith("demo")]


@cache
def load(name):
    return load_config(name, validate=False)


def overlays():
    """Every job that runs on the demo set when it is given no data."""
    return [name for name in configs() if load(name).demo_changes]


def mark_repeated(names):
    """Mark a YAML as slow if another one describes the same network, or if it has many layers."""
    marked, seen = [], set()
    for name in names:
        cfg = load(name).cfg.clone()
        cfg.defrost()
        for key in ("MODEL_NAME", "SINGLE_PATHWAY_ARCH", "DROPOUT_RATE", "NUM_CLASSES"):
            cfg.MODEL[key] = None  # as good as the same
        cfg.BN.NUM_BATCHES_PRECISE = cfg.BN.NUM_SYNC_DEVICES = 0
        cfg.MVIT.DROPPATH_RATE = 0.0
        network = str([cfg[section] for section in NETWORK])
        deep = "R101" in name or "MVITv2_L" in name
        marks = [pytest.mark.slow] if network in seen or deep else []
        seen.add(network)
        marked.append(pytest.param(name, marks=marks))
    return marked


def small(name, output_dir, *words):
    # A map of one position cannot be cropped: families of stride 32 need larger frames.
    arch = load(name).cfg.MODEL.ARCH
    size = ["DATA.TRAIN_CROP_SIZE", 32 if arch in STRIDE_16 else 64]
    own = ["DATA.PATH_TO_DATA_DIR", "unused", "OUTPUT_DIR", output_dir]
    if load(name).cfg.TRAIN.DATASET == "imagenet":
        own += ["DATA.NUM_FRAMES", 1]
    if load(name).cfg.MODEL.MODEL_NAME == "MoCo":
        own += ["MOCO.QUEUE_LEN", 64]
    words = [*SMALL.split(), *size, *own, *words]
    return load_config(name, [str(word) for word in words]).cfg


def make_raw_batch(cfg, size=2):
    generator = torch.Generator().manual_seed(0)
    batch = {
        "label": torch.arange(size),
        "index": torch.arange(size),
        "aug_seed": torch.arange(size) + 5,
    }
    for field, (views, *shape) in sample_shapes(cfg).items():
        if field == "audio":
            samples = round(cfg.AUDIO.CLIP_SEC * cfg.AUDIO.SAMPLE_RATE)
            batch["audio"] = torch.randn(size, views, samples, generator=generator) / 10
            batch["audio_valid"] = torch.ones(size, views, dtype=torch.bool)
        else:
            frames, side = shape
            whole = (size, views, frames, side, side, 3)
            batch[field] = torch.randint(256, whole, dtype=torch.uint8, generator=generator)
    return batch


def make_batch(cfg, size=2):
    return build_preprocess(cfg, train=True)(make_raw_batch(cfg, size))


def losses_of_two_steps(cfg):
    torch.manual_seed(cfg.RNG_SEED)
    model = construct_model(cfg).train()
    call_hook(model, "setup", DatasetInfo(64, 64, 1, 2, 1))
    criterion = LOSS_REGISTRY.get(cfg.MODEL.LOSS_FUNC)(cfg)
    optimizer = construct_optimizer(model, cfg)
    values = []
    for step in range(2):
        batch = make_batch(cfg)
        with torch.no_grad():
            call_hook(model, "before_step", Progress(step, 0, 0.0, 1, 2))
        loss = criterion(model(batch), batch)["loss"]
        loss.backward()
        missing = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert not missing  # distributed training relies on it
        optimizer.step()
        optimizer.zero_grad()
        values.append(loss.item())
    return values


def test_there_are_configs():
    assert {"StiCA/R2plus1D_pretrain.yaml", "Kinetics/R2PLUS1D_18_30f.yaml"} <= set(configs())


@pytest.mark.parametrize("name", configs())
def test_it_loads_and_validates(name, tmp_path):
    assert small(name, tmp_path).is_frozen()


@pytest.mark.parametrize("name", mark_repeated(configs()))
def test_it_builds_and_trains(name, tmp_path):
    # The released code crops maps of 4 steps and 7 x 7 positions only.
    full = ("DATA.TRAIN_CROP_SIZE", 112, "DATA.NUM_FRAMES", 30)
    words = full if "released" in name else ()
    values = losses_of_two_steps(small(name, tmp_path, *words))
    assert all(0 < abs(value) < 50 for value in values)


@pytest.mark.parametrize("name", overlays())
def test_it_builds_on_the_demo_set(name, tmp_path):
    words = ["OUTPUT_DIR", str(tmp_path), "NUM_GPUS", "0"]
    values = losses_of_two_steps(load_config(name, words).cfg)
    assert all(0 < abs(value) < 50 for value in values)


@pytest.mark.slow
@pytest.mark.parametrize("name", mark_repeated(n for n in configs() if not n.startswith("StiCA/")))
def test_transformer_and_crops_by_two_keys(name, tmp_path):
    """What the project exists for, on every supervised YAML; without the keys nothing changes."""
    given = load(name).cfg
    if given.TRAIN.DATASET == "imagenet":
        pytest.skip("an image has one time step, which cannot be cropped")
    plain = losses_of_two_steps(small(name, tmp_path))
    projects = ("PROJECTS", str(list(dict.fromkeys([*given.PROJECTS, "stica"]))))
    with_project = losses_of_two_steps(small(name, tmp_path, *projects))
    assert plain == with_project  # to the bit
    words = [*projects, "MODEL.POOLING", "transformer", "MODEL.FEATURE_AUG", "feature_crop"]
    if given.MIXUP.ENABLE:  # a box of another video is not in a crop of the feature map
        words += ["MIXUP.CUTMIX_ALPHA", 0.0]
    swapped = small(name, tmp_path, *words)
    assert all(0 < abs(value) < 50 for value in losses_of_two_steps(swapped))


def test_the_demo_overlay_is_applied_without_data(tmp_path):
    loaded = load_config("StiCA/R2plus1D_pretrain.yaml", ["OUTPUT_DIR", str(tmp_path)])
    assert is_demo(loaded.cfg.DATA)
    assert loaded.cfg.TRAIN.DATASET == "demo"
    assert {"TRAIN.DATASET", "SOLVER.MAX_EPOCH"} <= {c.key for c in loaded.demo_changes}


def test_channels_last_changes_rounding_only(tmp_path):
    name = "StiCA/R2plus1D_pretrain.yaml"
    words = ("MODEL.FAST_TIME_CONV", False)  # its own rounding is another test
    plain, _ = losses_of_two_steps(small(name, tmp_path, *words))
    last, _ = losses_of_two_steps(small(name, tmp_path, *words, "MODEL.CHANNELS_LAST", True))
    assert last == pytest.approx(plain, abs=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the tracer itself
@pytest.mark.parametrize("name", ["StiCA/R2plus1D_pretrain.yaml", "Contrastive/simclr.yaml"])
def test_model_and_loss_are_one_graph_and_so_is_the_preprocessing(name, tmp_path):
    """Traced by torch.compile without a break, with the same loss; no compiler is needed."""
    cfg = small(name, tmp_path)
    torch.manual_seed(cfg.RNG_SEED)
    model = construct_model(cfg).train()
    for module in model.modules():  # a trace samples other random numbers
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    call_hook(model, "setup", DatasetInfo(64, 64, 1, 2, 1))
    criterion = LOSS_REGISTRY.get(cfg.MODEL.LOSS_FUNC)(cfg)
    preprocess = build_preprocess(cfg, train=True)

    def compute(batch):
        return criterion(model(batch), batch)["loss"]

    def loss_of(compute):
        loss = compute(batch)
        loss.backward()
        return loss.item()

    torch.compiler.reset()
    one_graph = partial(torch.compile, backend="eager", fullgraph=True)
    raw = make_raw_batch(cfg)
    batch = preprocess(raw)
    torch.testing.assert_close(one_graph(preprocess)(raw), batch)
    assert loss_of(one_graph(compute)) == pytest.approx(loss_of(compute), rel=1e-5)
