"""What StiCA's shipped YAMLs say: the method by its defaults, and an ablation of two keys."""

from pathlib import Path

import pytest

from slowfast.config import load_config

FOLDER = Path(__file__).parents[3] / "configs"
FILES = [p for p in sorted((FOLDER / "StiCA").glob("*.yaml")) if not p.name.startswith("demo")]
NAMES = [p.stem for p in FILES]


def _load(name, *overrides):
    words = ["DATA.PATH_TO_DATA_DIR", "anywhere", *overrides]
    return load_config(FOLDER / "StiCA" / f"{name}.yaml", words).cfg


def test_the_main_job_is_the_method_with_its_default_decisions():
    cfg = _load("R2plus1D_pretrain")
    plain = load_config(None, ["PROJECTS", "['stica']"], validate=False).cfg
    assert cfg.STICA == plain.STICA
    assert cfg.TEMPORAL_TRANSFORMER == plain.TEMPORAL_TRANSFORMER
    for kind in ("SPACE_LARGE", "SPACE_SMALL", "TIME_LARGE", "TIME_SMALL"):
        ours, default = cfg.FEATURE_CROP[kind], plain.FEATURE_CROP[kind]
        assert ours.NUM == default.NUM
        assert pytest.approx(default.SCALE, abs=1e-6) == ours.SCALE


def test_the_ablation_varies_two_keys():
    found = {}
    for name in (n for n in NAMES if n.startswith("ablation_")):
        cfg = _load(name)
        found[name] = (cfg.MODEL.POOLING, cfg.MODEL.FEATURE_AUG)
        base = _load("R2plus1D_pretrain").clone()
        base.defrost()
        base.MODEL.POOLING, base.MODEL.FEATURE_AUG = found[name]
        assert cfg == base
    assert sorted(found.values()) == [
        (pooling, crops) for pooling in ("avg", "transformer") for crops in ("feature_crop", "none")
    ]
