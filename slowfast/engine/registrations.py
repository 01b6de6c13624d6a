"""Imports every module of the framework that registers components or checks."""

import slowfast.datasets.catalog
import slowfast.datasets.checks
import slowfast.datasets.multigrid_checks
import slowfast.datasets.preprocess.batch
import slowfast.engine.checks
import slowfast.engine.class_names
import slowfast.engine.insight.checks
import slowfast.engine.protocols
import slowfast.engine.save_results
import slowfast.models.checks  # noqa: F401  (the package itself registers the models)
