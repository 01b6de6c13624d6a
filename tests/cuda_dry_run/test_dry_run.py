"""A step of every pretraining YAML on a GPU: one device, no waiting, no copy but of the batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from slowfast.config import load_config
from slowfast.config.paths import shipped_configs

ROOT = Path(__file__).parents[2]
METHODS = ("StiCA/", "Contrastive/", "contrastive_ssl/")
CLASSIFIERS = {
    "Kinetics/R2PLUS1D_18_30f.yaml": (),
    "Kinetics/SLOWFAST_8x8_R50.yaml": ("SOLVER.CLASS_WEIGHTS", [1.0, 2.0] * 200),
    "Kinetics/MVITv2_S_16x4.yaml": ("MVIT.DEPTH", 16),  # with MIXUP
}
SEVERAL_RANKS = (
    "StiCA/R2plus1D_pretrain.yaml",
    "Contrastive/avid.yaml",
    "Contrastive/moco.yaml",
    "Contrastive/swav.yaml",
)


def pretraining():
    """Every YAML that trains a method, not an overlay for the demo set and not a sweep."""
    found = sorted(path for path in shipped_configs().rglob("*.yaml"))
    names = [str(path.relative_to(shipped_configs())) for path in found]
    jobs = [n for n in names if n.startswith(METHODS) and "sweeps/" not in n and "demo" not in n]
    classifying = ("VideoResNet", "SlowFast", "ResNet", "MViT", "X3D", "AudioClassifier")
    return [
        name
        for name in jobs
        if (cfg := load_config(name, validate=False).cfg).TRAIN.ENABLE
        and cfg.MODEL.MODEL_NAME not in classifying
    ]


def dry_run(name, *options):
    """Run the steps in a process of their own; return what happened in the last one."""
    paths = [ROOT, ROOT / "tests", *(ROOT / "projects").iterdir()]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "cuda_dry_run.step", name, *map(str, options)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_never_waits(result):
    assert "error" not in result, result["error"]
    listed = [f"{n} x {kind}: {op} at {place}" for kind, op, place, n in result["events"]]
    assert listed == []


@pytest.mark.slow
@pytest.mark.parametrize("name", pretraining())
def test_a_step_of_pretraining_never_waits_for_the_gpu(name):
    result = dry_run(name)
    assert_never_waits(result)
    assert any("backward" in operator for operator in result["launched"])
    assert any("convolution" in operator for operator in result["launched"])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "words"), CLASSIFIERS.items())
def test_a_step_of_a_classifier_never_waits_for_the_gpu(name, words):
    assert_never_waits(dry_run(name, "--set", *words))


@pytest.mark.slow
@pytest.mark.parametrize("name", SEVERAL_RANKS)
def test_several_ranks_do_not_wait_and_use_the_kernels_of_batch_norm(name):
    result = dry_run(name, "--ranks", 4, "--set", "BN.NORM_TYPE", "sync_batchnorm")
    assert_never_waits(result)
    assert result["launched"]["aten.batch_norm_stats.default"] > 10
    assert result["launched"]["aten.batch_norm_backward_elemt.default"] > 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("x[torch.zeros(len(x), dtype=torch.bool, device=x.device)]", "synchronization"),
        ("float(x.sum())", "synchronization"),
        ("x.sum().cpu()", "synchronization"),
        ("torch.tensor([1, 2], device=x.device)", "blocking copy"),
        ("x[:, [0, 0]]", "blocking copy"),
        ("torch.ones(2)", "CPU tensor in the model or the loss"),
        ("x + torch.ones(x.shape)", "FakeTensorDeviceMismatchError"),
    ],
)
def test_the_dry_run_finds(tmp_path, fault, kind):
    """Each fault, put into the loss of a method, with the line."""
    (tmp_path / "faulty.py").write_text(
        "import torch\n"
        "from slowfast.models.build import LOSS_REGISTRY\n"
        "@LOSS_REGISTRY.register()\n"
        "def faulty(cfg):\n"
        "    plain = LOSS_REGISTRY.get('simclr')(cfg)\n"
        "    def loss(outputs, batch):\n"
        "        x = outputs.embedding.detach().flatten(1)\n"
        f"        {fault}\n"
        "        return plain(outputs, batch)\n"
        "    return loss\n"
        "def add_config(cfg):\n"
        "    pass\n"
    )
    words = ("MODEL.LOSS_FUNC", "faulty", "PROJECTS", "['contrastive', 'faulty']")
    result = dry_run("Contrastive/simclr.yaml", "--set", *words, "PROJECTS_PATH", f"['{tmp_path}']")
    if kind.startswith("Fake"):
        assert kind in result["error"]
        return
    assert [(found, place) for found, _, place, _ in result["events"]] == [(kind, "faulty.py:8")]
