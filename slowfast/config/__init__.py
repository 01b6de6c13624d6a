"""Configuration: the YACS tree, loading and checks. Imports no other layer."""

from fvcore.common.config import CfgNode

from slowfast.config.checks import (
    assert_and_infer_cfg,
    find_problems,
    register_check,
    register_note,
)
from slowfast.config.load import LoadedConfig, load_config
from slowfast.config.problems import (
    ConfigError,
    ConfigValueError,
    ParameterError,
    Problem,
    UserError,
    keys,
)
from slowfast.config.sections import get_cfg

__all__ = [
    "CfgNode",
    "ConfigError",
    "ConfigValueError",
    "LoadedConfig",
    "ParameterError",
    "Problem",
    "UserError",
    "assert_and_infer_cfg",
    "find_problems",
    "get_cfg",
    "keys",
    "load_config",
    "register_check",
    "register_note",
]
