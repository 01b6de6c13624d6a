"""Imports every module of the framework that registers parts or checks."""

import slowfast.datasets.checks
import slowfast.datasets.demo_set
import slowfast.datasets.kinetics
import slowfast.engine.checks
import slowfast.engine.protocols
import slowfast.models.checks  # noqa: F401  (the package itself registers the models)
