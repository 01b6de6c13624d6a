"""Names that scripts import from PySlowFast: where each is here, or what replaces it.

This is their only list; docs/coming_from_pyslowfast.md shows it. A name of a module that exists
here is found by ``__getattr__ = names_of(__name__)`` at its end; other modules are made when they
are imported (``slowfast/__init__.py``). Nothing is loaded before it is used, so a name may be in
any layer. Names that are the same here need no entry.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["HOMES", "REPLACED", "find_spec", "names_of"]

_SCRIPTS = "slowfast.cli.scripts"
_CHECKPOINTS = "slowfast.models.script_checkpoints"
_METERS = "slowfast.utils.script_meters"
_LOOP = "slowfast.utils.script_loop"
_TRANSFORMS = "slowfast.datasets.views.float_clips"

HOMES: dict[str, dict[str, str]] = {
    "slowfast.config.defaults": {
        "get_cfg": "slowfast.config:get_cfg",
        "assert_and_infer_cfg": f"{_SCRIPTS}:assert_and_infer_cfg",
    },
    "slowfast.utils.parser": {
        "parse_args": f"{_SCRIPTS}:parse_args",
        "load_config": f"{_SCRIPTS}:load_config",
    },
    "slowfast.utils.misc": {
        "launch_job": f"{_SCRIPTS}:launch_job",
        "log_model_info": "slowfast.models.complexity:log_model_info",
        "params_count": "slowfast.models.complexity:params_count",
        "gpu_mem_usage": "slowfast.utils.meters:gpu_mem_usage",
        "cpu_mem_usage": "slowfast.utils.meters:cpu_mem_usage",
        "frozen_bn_stats": "slowfast.models.batch_norm:frozen_bn",
        "is_eval_epoch": f"{_LOOP}:is_eval_epoch",
        "check_nan_losses": f"{_LOOP}:check_nan_losses",
    },
    "slowfast.utils.checkpoint": {
        "load_checkpoint": f"{_CHECKPOINTS}:load_checkpoint",
        "save_checkpoint": f"{_CHECKPOINTS}:save_checkpoint",
        "load_test_checkpoint": f"{_CHECKPOINTS}:load_test_checkpoint",
        "load_train_checkpoint": f"{_CHECKPOINTS}:load_train_checkpoint",
        "is_checkpoint_epoch": f"{_LOOP}:is_checkpoint_epoch",
    },
    "slowfast.utils.meters": {
        "TrainMeter": f"{_METERS}:TrainMeter",
        "ValMeter": f"{_METERS}:ValMeter",
        "TestMeter": f"{_METERS}:TestMeter",
        "EpochTimer": f"{_LOOP}:EpochTimer",
    },
    "slowfast.utils.distributed": {
        "get_rank": "slowfast.utils.distributed:rank",
        "get_world_size": "slowfast.utils.distributed:world_size",
        "get_local_rank": "slowfast.utils.distributed:local_rank",
        "synchronize": "slowfast.utils.distributed:barrier",
        "all_gather_unaligned": "slowfast.utils.distributed:gather_objects",
        "init_distributed_training": f"{_LOOP}:init_distributed_training",
    },
    "slowfast.utils.env": {"pathmgr": "iopath.common.file_io:g_pathmgr"},
    "slowfast.models.optimizer": {"get_grad_norm_": f"{_LOOP}:get_grad_norm_"},
    "slowfast.models.losses": {"get_loss_func": "slowfast.models.losses.plain:get_loss_func"},
    "slowfast.models.batchnorm_helper": {"get_norm": "slowfast.models.batch_norm:get_norm"},
    "slowfast.datasets": {
        "build_dataset": "slowfast.datasets.build:build_dataset",
        "DATASET_REGISTRY": "slowfast.datasets.build:DATASET_REGISTRY",
    },
    "slowfast.datasets.kinetics": {"Kinetics": "slowfast.datasets.pathway_items:Kinetics"},
    "slowfast.datasets.utils": {
        "pack_pathway_output": "slowfast.utils.pathways:pack_pathway_output",
        "spatial_sampling": f"{_TRANSFORMS}:spatial_sampling",
        "tensor_normalize": f"{_TRANSFORMS}:tensor_normalize",
    },
    "slowfast.datasets.transform": {
        "uniform_crop": f"{_TRANSFORMS}:uniform_crop",
        "random_crop": f"{_TRANSFORMS}:random_crop",
        "horizontal_flip": f"{_TRANSFORMS}:horizontal_flip",
        "random_short_side_scale_jitter": f"{_TRANSFORMS}:random_short_side_scale_jitter",
    },
    "slowfast.datasets.mixup": {"MixUp": "slowfast.datasets.preprocess.script_mixup:MixUp"},
    "slowfast.visualization.tensorboard_vis": {
        "TensorboardWriter": "slowfast.utils.tensorboard:TensorboardWriter"
    },
}
"""Module of PySlowFast -> its names -> ``module:name`` here, with PySlowFast's arguments."""

_MODEL = "a model is built from its configuration: slowfast.models.build_model(cfg)"
_METHODS = (
    "methods of pretraining are projects, and run_net.py trains them (docs/adding_a_method.md)"
)
_PREDICT = "slowfast.models.build_model(cfg).eval(), then model([clip])"

REPLACED: dict[str, str] = {
    "slowfast.config.custom_config": (
        "keys of your own belong to a project: its add_config(cfg), named in PROJECTS "
        "(docs/adding_a_method.md)"
    ),
    "slowfast.models.video_model_builder": (
        f"{_MODEL} with MODEL.MODEL_NAME SlowFast, ResNet, X3D or MViT; to change a model, "
        "register a class or function in slowfast.models.MODEL_REGISTRY"
    ),
    "slowfast.models.ptv_model_builder": f"{_MODEL} with MODEL.MODEL_NAME PTVResNet, PTVX3D, ...",
    "slowfast.models.contrastive:ContrastiveModel": _METHODS,
    "slowfast.models.contrastive:contrastive_forward": _METHODS,
    "slowfast.models.contrastive:contrastive_parameter_surgery": _METHODS,
    "slowfast.models.head_helper": (
        "heads are in slowfast.models.heads (MODEL.HEAD), pooling in slowfast.models.pooling "
        "(MODEL.POOLING)"
    ),
    "slowfast.models.stem_helper": "stems are in slowfast.models.resnet.network and x3d.network",
    "slowfast.models.resnet_helper": "blocks and stages are in slowfast.models.resnet",
    "slowfast.models.nonlocal_helper": "use slowfast.models.resnet.nonlocal_block:NonLocal",
    "slowfast.models.attention": "use slowfast.models.mvit.attention",
    "slowfast.models.common": "use slowfast.models.drop_path, and mvit.block for its MLP",
    "slowfast.models.operators": "use slowfast.models.x3d.block",
    "slowfast.models.utils": "positions are in slowfast.models.mvit.position_embedding",
    "slowfast.models.masked": "masked pretraining is not built; its encoders are fine-tuned",
    "slowfast.models.reversible_mvit": (
        "reversible MViT is not built; use MViT with MODEL.ACT_CHECKPOINT True"
    ),
    "slowfast.datasets.decoder": (
        "decoding is slowfast.datasets.decoding.reader:MediaReader, whose read_video(times_sec, "
        "short_side=...) returns the frames of a clip"
    ),
    "slowfast.datasets.video_container": (
        "a file is opened by slowfast.datasets.decoding.reader:MediaReader"
    ),
    "slowfast.datasets.rand_augment": "RandAugment acts on clips as AUG.AA_TYPE says",
    "slowfast.datasets.random_erasing": "random erasing acts on clips as AUG.RE_PROB says",
    "slowfast.datasets.cv2_transform": "transforms are in slowfast.datasets.views",
    "slowfast.datasets.ava_dataset": "AVA and detection are not built",
    "slowfast.datasets.ava_helper": "AVA and detection are not built",
    "slowfast.datasets.ptv_datasets": "pytorchvideo is not needed: TRAIN.DATASET kinetics or ssv2",
    "slowfast.datasets.ssv2": "slowfast.datasets.build_dataset('ssv2', cfg, split)",
    "slowfast.datasets.charades": "slowfast.datasets.build_dataset('charades', cfg, split)",
    "slowfast.datasets.imagenet": "slowfast.datasets.build_dataset('imagenet', cfg, split)",
    "slowfast.utils.benchmark": "run slowfast benchmark (loading, model, training)",
    "slowfast.utils.bn_helper": "use slowfast.engine.precise_bn (BN.USE_PRECISE_STATS)",
    "slowfast.utils.c2_model_loading": (
        "Caffe2's files are recognized: slowfast.models.weights:load_weights(model, path)"
    ),
    "slowfast.datasets.multigrid_helper": (
        "use slowfast.utils.multigrid:MultigridSchedule and the keys in MULTIGRID"
    ),
    "slowfast.utils.ava_eval_helper": "AVA and detection are not built",
    "slowfast.utils.meters:AVAMeter": "AVA and detection are not built",
    "slowfast.utils.weight_init_helper": "each network initializes itself; see slowfast.models",
    "slowfast.visualization.utils": (
        "register a forward hook: model.get_submodule(name).register_forward_hook(...); weights "
        "are in model.state_dict()"
    ),
    "slowfast.visualization.gradcam_utils": "use a library such as pytorch-grad-cam",
    "slowfast.visualization.prediction_vis": (
        "test with TEST.SAVE_RESULTS_PATH; results.json names wrong predictions"
    ),
    "slowfast.visualization.demo_loader": "test a folder of videos instead of the demo",
    "slowfast.visualization.predictor": _PREDICT,
    "slowfast.visualization.async_predictor": _PREDICT,
    "slowfast.visualization.video_visualizer": "test a folder of videos instead of the demo",
}
"""Module, or ``module:name``, of PySlowFast that has no counterpart -> what to use."""


def find_spec(module: str) -> ModuleSpec | None:
    """Find a module of PySlowFast that does not exist here.

    Args:
        module: Its full name.

    Returns:
        The spec of a module with the names of HOMES; None for a module that PySlowFast does not
        have, either.

    Raises:
        ModuleNotFoundError: If the module is one of REPLACED; the message says what to use.
    """
    if module in REPLACED:
        raise ModuleNotFoundError(_hint(module), name=module)
    return ModuleSpec(module, _NAMES) if module in HOMES else None


def names_of(module: str) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a module: it finds PySlowFast's names in HOMES.

    Args:
        module: A module of HOMES or REPLACED that exists here.

    Returns:
        Name -> object; raises ImportError for names of REPLACED, AttributeError for others.
    """

    def find(name: str) -> Any:
        if f"{module}:{name}" in REPLACED:
            raise ImportError(_hint(f"{module}:{name}"), name=module)
        home = HOMES.get(module, {}).get(name)
        if home is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        target, _, own = home.partition(":")
        return getattr(importlib.import_module(target), own)

    return find


def _hint(what: str) -> str:
    return (
        f"{what} of PySlowFast does not exist here: {REPLACED[what]}. "
        "docs/coming_from_pyslowfast.md lists all names."
    )


class _Names(Loader):
    """Creates a module that has only the names of HOMES."""

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__getattr__"] = names_of(module.__name__)
        vars(module)["__all__"] = list(HOMES[module.__name__])
        module.__doc__ = f"Names of PySlowFast's {module.__name__}; see pyslowfast_names."


_NAMES = _Names()
