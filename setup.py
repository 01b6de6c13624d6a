"""Packaging: the framework, its projects and its configs, mapped from their own folders."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "slowfast/__init__.py").read_text())[1]
# A project is a folder with a package of its own name: projects/NAME/NAME.
PROJECTS = {
    file.parent.name: f"projects/{file.parent.name}/{file.parent.name}"
    for file in sorted(ROOT.glob("projects/*/*/__init__.py"))
    if file.parent.name == file.parent.parent.name
}
# Files that a project ships next to its package, found as package://NAME_weights/PATH.
WEIGHTS = {
    f"{name}_weights": f"projects/{name}/weights"
    for name in PROJECTS
    if (ROOT / "projects" / name / "weights").is_dir()
}
CONFIGS = ["slowfast_configs"] + [
    ".".join(["slowfast_configs", *p.relative_to(ROOT / "configs").parts])
    for p in sorted((ROOT / "configs").rglob("*"))
    if p.is_dir()
]

setup(
    name="slowfast-stica",
    version=VERSION,
    description="Audio-visual video learning: a PySlowFast-style framework and StiCA",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE", "THIRD_PARTY_NOTICES.md"],
    python_requires=">=3.11",
    packages=[
        *find_packages(include=["slowfast", "slowfast.*"]),
        *(
            package
            for name in PROJECTS
            for package in find_packages(f"projects/{name}", include=[name, f"{name}.*"])
        ),
        *WEIGHTS,
        *CONFIGS,
    ],
    package_dir={"slowfast_configs": "configs", **PROJECTS, **WEIGHTS},
    package_data={
        "slowfast": [
            "config/sections/*.yaml",
            "models/zoo/*.yaml",
            "visualization/pages/assets/*",
            "visualization/pages/templates/*.html",
            "visualization/pages/templates/*/*.html",
        ],
        **{name: ["*.yaml"] for name in CONFIGS},
        **{name: ["*", "*/*"] for name in WEIGHTS},
    },
    install_requires=[
        "torch>=2.6",
        "fvcore",
        "iopath",
        "av>=14",
        "simplejson",
        "opencv-python-headless",
        "tensorboard",
        "numpy>=1.26",
        "tqdm",
    ],
    extras_require={
        "report": ["matplotlib", "jinja2"],
        "embed": ["pyarrow"],
        "search": ["pyarrow", "jinja2", "faiss-cpu"],
        "hub": ["safetensors", "huggingface_hub"],
        "transformers": ["transformers", "safetensors", "huggingface_hub"],
        "onnx": ["onnx", "onnxscript", "onnxruntime"],
        "notebook": ["ipykernel", "nbclient"],
        "eval": ["scikit-learn"],
        "slurm": ["submitit"],
        "docs": ["mkdocs-material", "mkdocstrings[python]"],
        "dev": [
            "pytest",
            "pytest-xdist",
            "hypothesis",
            "ruff",
            "mypy",
            "import-linter",
            "pre-commit",
            "python_speech_features",
            "scikit-learn",
            "scipy",
            "pillow",
            "duckdb",
            "lancedb",
            "playwright",
        ],
    },
    entry_points={
        "console_scripts": [
            "slowfast=slowfast.cli.main:main",
            "slowfast-run=slowfast.cli.run_net:main",
            "slowfast-sweep=slowfast.cli.sweep_net:main",
            "slowfast-prepare=slowfast.cli.prepare_data:main",
            "slowfast-export=slowfast.cli.export_weights:main",
        ],
        "slowfast.projects": [f"{name}={name}" for name in PROJECTS],
    },
)
