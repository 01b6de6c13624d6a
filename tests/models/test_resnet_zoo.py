"""Names, shapes, totals and feature maps of PySlowFast's and pytorchvideo's ResNets."""

from functools import cache

import pytest
import torch
from helpers.zoo import on_meta, read_recorded, shapes_of

from slowfast.config import load_config
from slowfast.models.build import CHECKPOINT_FORMAT_REGISTRY, build_model
from slowfast.models.resnet.formats import pyslowfast_resnet, pytorchvideo_resnet

ZOO = read_recorded("resnet")
MAPS = ZOO["maps"]

# Configurations that train with what is not built here, and the shipped one of the same network.
NOT_SHIPPED = {
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


@cache
def _cfg(name):
    yaml, words = NOT_SHIPPED.get(name, (name, ""))
    return load_config(yaml, words.split()).cfg


_BUILT = {}


def _build(name):
    """Build the model; configurations that differ in training only share one."""
    cfg = _cfg(name)
    network = str([cfg.MODEL, cfg.RESNET, cfg.NONLOCAL, cfg.SLOWFAST])
    if network not in _BUILT:
        with torch.device("meta"):
            _BUILT[network] = build_model(cfg).eval()
    return _BUILT[network]


def _recorded(name):
    return ZOO["state_dicts"][ZOO["entries"][name]]


@pytest.mark.parametrize("name", sorted(ZOO["entries"]))
def test_names_shapes_and_totals_are_the_zoos(name):
    model, recorded = _build(name), _recorded(name)
    rename = pytorchvideo_resnet if "pytorchvideo/" in name else pyslowfast_resnet
    assert shapes_of(model.state_dict()) == shapes_of(rename(on_meta(recorded["state_dict"])))
    assert sum(p.numel() for p in model.parameters()) == recorded["total_params"]


def test_frames_are_the_zoos():
    for name, sizes in MAPS.items():
        assert {size["frames"] for size in sizes.values()} == {_cfg(name).DATA.NUM_FRAMES}


def _map_sizes():
    """Every size of every network once; the large ones are slow even without numbers."""
    seen = set()
    for name, sizes in MAPS.items():
        for crop, expected in sizes.items():
            key = (str(expected), ZOO["entries"][name])
            marks = [pytest.mark.slow] if "R101" in name or crop != "112" else []
            if key not in seen:
                seen.add(key)
                yield pytest.param(name, crop, marks=marks)


@pytest.mark.parametrize(("name", "crop"), list(_map_sizes()))
def test_maps_have_the_zoos_size(name, crop):
    expected = MAPS[name][crop]
    video = torch.empty(1, 3, expected["frames"], int(crop), int(crop), device="meta")
    with torch.no_grad():
        out = _build(name).backbone(video)
    assert [list(m.shape[1:]) for m in out.maps] == expected["maps"]
    assert out.summary is None


def test_one_format_alone_claims_a_file():
    formats = {n: CHECKPOINT_FORMAT_REGISTRY.get(n) for n in CHECKPOINT_FORMAT_REGISTRY.names()}
    for name in ("Kinetics/SLOW_8x8_R50.yaml", "Kinetics/pytorchvideo/CSN_32x2_R101.yaml"):
        state = on_meta(_recorded(name)["state_dict"])
        claimed = [kind for kind, rename in formats.items() if rename(dict(state)) is not None]
        assert claimed == ["pytorchvideo_resnet" if "pytorchvideo" in name else "pyslowfast_resnet"]
    for entry in read_recorded("x3d")["state_dicts"]:
        assert pyslowfast_resnet(on_meta(entry["state_dict"])) is None
        assert pytorchvideo_resnet(on_meta(entry["state_dict"])) is None


def test_pytorchvideos_own_files_have_no_model_in_front():
    state = on_meta(_recorded("Kinetics/pytorchvideo/SLOWFAST_4x16_R50.yaml")["state_dict"])
    plain = {key.removeprefix("model."): value for key, value in state.items()}
    assert pytorchvideo_resnet(plain) == pytorchvideo_resnet(state)


def test_an_unknown_key_is_kept_for_the_report():
    state = on_meta(_recorded("Kinetics/pytorchvideo/SLOW_8x8_R50.yaml")["state_dict"])
    extra = {"model.blocks.9.extra.weight": torch.zeros(2), "odd": torch.zeros(3)}
    renamed = pytorchvideo_resnet({**state, **extra})
    assert renamed["backbone.blocks.9.extra.weight"].shape == (2,)
    assert renamed["backbone.odd"].shape == (3,)
