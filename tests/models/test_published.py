"""Published networks under their own names: keys, shapes, totals, feature maps, and numbers."""

from functools import cache

import numpy as np
import pytest
import torch
from helpers.zoo import (
    DATA,
    assert_close_to,
    make_input,
    make_state,
    on_meta,
    read_recorded,
    shapes_of,
)

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import load_config
from slowfast.models.build import CHECKPOINT_FORMAT_REGISTRY, build_model
from slowfast.models.weights import convert_state_dict, load_state

ZOO = {family: read_recorded(family) for family in ("mvit", "resnet", "s3d", "x3d")}
ENTRIES = {f"torchvision/{arch}": entry for arch, entry in read_recorded("video_resnet").items()}
for _zoo in ZOO.values():
    ENTRIES |= {name: _zoo["state_dicts"][number] for name, number in _zoo["entries"].items()}

# Recorded names that are no YAML of ours: the shipped one of the same network, and what differs.
STAND_INS = {
    "torchvision/mvit_v1_b": ("Kinetics/MVIT_B_16x4_CONV.yaml", ""),
    "torchvision/mvit_v2_s": ("Kinetics/MVITv2_S_16x4.yaml", ""),
    "torchvision/s3d": ("Kinetics/S3D.yaml", ""),
    **{
        f"torchvision/{arch}": (f"Kinetics/torchvision/{arch.upper()}.yaml", "")
        for arch in ("mc3_18", "r2plus1d_18", "r3d_18")
    },
    "Kinetics/SLOWFAST_8x8_R50_stepwise_multigrid.yaml": ("Kinetics/SLOWFAST_8x8_R50.yaml", ""),
    "SSv2/SLOWFAST_16x8_R50_multigrid.yaml": ("SSv2/SLOWFAST_16x8_R50.yaml", ""),
    **{
        f"contrastive_ssl/finetune_ava_Slow_R50_syn{n}.yaml": (
            "Kinetics/SLOW_8x8_R50.yaml",
            "MODEL.NUM_CLASSES 80 RESNET.SPATIAL_STRIDES [[1],[2],[2],[1]] "
            "RESNET.SPATIAL_DILATIONS [[1],[1],[1],[2]]",
        )
        for n in (0, 8)
    },
}
GOLDEN = {  # recorded name -> family, name in its file
    **{
        f"{name}.yaml": ("resnet", name)
        for name in (
            *("Kinetics/C2D_8x8_R50", "Kinetics/SLOW_8x8_R50", "Kinetics/SLOWFAST_4x16_R50"),
            *("Kinetics/pytorchvideo/CSN_32x2_R101", "Kinetics/pytorchvideo/R2PLUS1D_16x4_R50"),
        )
    },
    "Kinetics/MVIT_B_16x4_CONV.yaml": ("mvit", "Kinetics/MVIT_B_16x4_CONV"),
    "Kinetics/MVITv2_S_16x4.yaml": ("mvit", "Kinetics/MVITv2_S_16x4"),
    "Kinetics/X3D_S.yaml": ("x3d", "Kinetics__X3D_S"),
    "torchvision/r2plus1d_18": ("video_resnet", "torchvision__r2plus1d_18"),
    "torchvision/r3d_18": ("video_resnet", "torchvision__r3d_18"),
    "torchvision/s3d": ("s3d", "torchvision__s3d"),
}
NON_LOCAL = "Kinetics/I3D_NLN_8x8_R50"
INNER = {"mvit": "norm", "x3d": "conv_5"}  # the layer whose input was recorded


@cache
def config(name):
    yaml, words = STAND_INS.get(name, (name, ""))
    common = ["DATA.PATH_TO_DATA_DIR", "unused", "NUM_GPUS", "0"]
    return load_config(yaml, [*common, *words.split()]).cfg


BUILT = {}


def on_meta_device(name):
    """Build the model; configurations that differ in training only share one."""
    cfg = config(name)
    network = str([cfg[s] for s in ("MODEL", "RESNET", "NONLOCAL", "SLOWFAST", "MVIT", "X3D")])
    if network not in BUILT:
        with torch.device("meta"):
            BUILT[network] = build_model(cfg).eval()
    return BUILT[network]


def claims(state):
    """What each format that knows the keys makes of them."""
    formats = {n: CHECKPOINT_FORMAT_REGISTRY.get(n) for n in CHECKPOINT_FORMAT_REGISTRY.names()}
    found = {name: rename(dict(state)) for name, rename in formats.items()}
    found.pop("pyslowfast_mvit_other_qkv")  # the same keys, for models with another setting
    return {name: renamed for name, renamed in found.items() if renamed is not None}


def _networks():
    """Every network; 48 blocks take seconds even without numbers."""
    for name in sorted(ENTRIES):
        yield pytest.param(name, marks=[pytest.mark.slow] if "MVITv2_L" in name else [])


@pytest.mark.parametrize("name", list(_networks()))
def test_names_shapes_and_totals_are_the_zoos(name):
    model, recorded = on_meta_device(name), ENTRIES[name]
    ((_, renamed),) = claims(on_meta(recorded["state_dict"])).items()  # one format alone
    assert shapes_of(model.state_dict()) == shapes_of(renamed)
    assert sum(p.numel() for p in model.parameters()) == recorded["total_params"]


def _map_sizes():
    """Every size of every network once; the large ones are slow even without numbers."""
    for name, sizes in ZOO["x3d"]["maps"].items():
        for size, expected in sizes:
            yield pytest.param(name, size, [expected[1:]])
    seen = set()
    for name, sizes in ZOO["resnet"]["maps"].items():
        for crop, expected in sizes.items():
            key = (str(expected), ZOO["resnet"]["entries"][name])
            marks = [pytest.mark.slow] if "R101" in name or crop != "112" else []
            if key not in seen:
                seen.add(key)
                size = [1, 3, expected["frames"], int(crop), int(crop)]
                yield pytest.param(name, size, expected["maps"], marks=marks)


@pytest.mark.parametrize(("name", "size", "expected"), list(_map_sizes()))
def test_maps_have_the_zoos_size(name, size, expected):
    with torch.no_grad():
        out = on_meta_device(name).backbone(torch.empty(size, device="meta"))
    assert [list(m.shape[1:]) for m in out.maps] == expected
    assert out.summary is None


def test_frames_are_the_zoos():
    for name, sizes in ZOO["resnet"]["maps"].items():
        assert {size["frames"] for size in sizes.values()} == {config(name).DATA.NUM_FRAMES}


@pytest.mark.parametrize("name", [n for n in ZOO["mvit"]["tokens"] if "MVITv2_L" not in n])
def test_tokens_are_the_zoos(name):
    size, cfg, backbone = ZOO["mvit"]["tokens"][name], config(name), on_meta_device(name).backbone
    assert (size["frames"], size["crop"]) == (cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE)
    seen = []
    hook = backbone.norm.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        out = backbone(torch.empty(1, 3, size["frames"], *2 * [size["crop"]], device="meta"))
    hook.remove()
    assert list(seen[-1].shape[1:]) == size["norm_in"]  # of mean pooling: the mean
    assert out.summary.shape == (1, out.maps[0].shape[1])
    assert out.maps[0].flatten(2).shape[2] == seen[0].shape[1] - 1


@pytest.mark.parametrize(
    ("keys", "claimants"),
    [
        ((), set()),
        (("features.0.0.weight", "features.5.weight", "classifier.1.weight"), set()),  # of images
        (("blocks.0.conv.weight", "blocks.5.proj.weight"), {"pytorchvideo_resnet"}),
        (("model.blocks.0.conv.weight",), {"pytorchvideo_resnet"}),
        (("s1.pathway0_stem.conv.weight",), {"pyslowfast_resnet"}),
        (("stem.0.weight",), set()),
        # An image ResNet has the stages of a video ResNet, but another stem.
        ((*(f"layer{i}.0.conv1.weight" for i in (1, 2, 3, 4)), "conv1.weight"), set()),
    ],
)
def test_few_keys_are_claimed_by_their_own_format_alone(keys, claimants):
    assert set(claims(dict.fromkeys(keys, torch.zeros(1)))) == claimants


@pytest.mark.parametrize("network", ["MVIT_B_16x4_CONV", "SLOWFAST_4x16_R50", "X3D_S"])
def test_pytorchvideos_own_files_have_no_model_in_front(network):
    state = on_meta(ENTRIES[f"Kinetics/pytorchvideo/{network}.yaml"]["state_dict"])
    ((name, renamed),) = claims(state).items()
    plain = {key.removeprefix("model."): value for key, value in state.items()}
    assert CHECKPOINT_FORMAT_REGISTRY.get(name)(plain).keys() == renamed.keys()


def test_pytorchvideos_x3d_lacks_one_norm_of_pyslowfasts():
    state = on_meta(ENTRIES["Kinetics/pytorchvideo/X3D_S.yaml"]["state_dict"])
    missing = set(on_meta_device("Kinetics/X3D_S.yaml").state_dict()) - set(
        claims(state)["pytorchvideo_x3d"]
    )
    parts = {name.rpartition(".")[0] for name in missing}
    assert parts == {"backbone.s2.pathway0_res0.branch1_bn"}


def test_an_unknown_key_is_kept_for_the_report():
    state = on_meta(ENTRIES["Kinetics/pytorchvideo/SLOW_8x8_R50.yaml"]["state_dict"])
    extra = {"model.blocks.9.extra.weight": torch.zeros(2), "odd": torch.zeros(3)}
    renamed = claims({**state, **extra})["pytorchvideo_resnet"]
    assert renamed["backbone.blocks.9.extra.weight"].shape == (2,)
    assert renamed["backbone.odd"].shape == (3,)


def compare(name, family, part, share=1e-4):
    """Compare a model with weights under the zoo's names to what the original computed."""
    golden = np.load(DATA / f"golden_{family}.npz")
    recorded = {
        key.removeprefix(part)[1:]: golden[key] for key in golden.files if key.startswith(part)
    }
    seed, video = int(recorded.pop("seed")), recorded.pop("input").tolist()
    largest = {k[: -len("?abs_max")]: recorded.pop(k) for k in [*recorded] if "abs_max" in k}
    model = build_model(config(name)).eval()
    state = convert_state_dict(
        make_state(ENTRIES[name]["state_dict"], seed), own=model.state_dict()
    )
    report = load_state(model, state)
    assert (report.missed, report.skipped) == ([], {})
    outputs, inner = [], []
    model.backbone.register_forward_hook(lambda *args: outputs.append(args[-1]))
    if family in INNER:
        layer = model.backbone.get_submodule(INNER[family])
        layer.register_forward_pre_hook(lambda _, args: inner.append(args[0]))
    with torch.no_grad():
        features = model.embed({"video": make_input(video, seed)[:, None]})
    maps = outputs[0].maps
    got = {f"head_in{pathway}": values for pathway, values in enumerate(maps)}
    got |= {"map": (inner or maps)[0], "tokens": (inner or maps)[0], "summary": outputs[0].summary}
    got["logits"] = features["logits"][:, 0]
    assert {"logits"} < recorded.keys() <= got.keys()
    for array, expected in recorded.items():
        part_of_it = got[array][tuple(slice(length) for length in expected.shape)]
        most = float(largest.get(array, np.abs(expected).max()))
        assert_close_to(part_of_it, torch.from_numpy(expected), most, share)


@pytest.mark.slow
@pytest.mark.parametrize("name", GOLDEN)
def test_outputs_are_the_originals(name):
    compare(name, *GOLDEN[name])


@pytest.mark.slow
def test_outputs_with_non_local_blocks_are_the_originals():
    """With these weights rounding decides what a softmax picks.

    Its scores reach 4e7 here, so that it is a choice of one position, and a sum in another order
    chooses another: float32 and float64 differ by 4 % of the largest value, and CPUs by up to 1 %.
    """
    compare(f"{NON_LOCAL}.yaml", "resnet", NON_LOCAL, share=0.05)
