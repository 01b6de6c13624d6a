"""Downloads repositories of the Hugging Face Hub: ``hf://ORG/NAME`` or ``hf://ORG/NAME@REVISION``.

The files are cached by huggingface_hub, in ``$HF_HOME``. Only configurations and safetensors files
are downloaded, no code and no pickles. ``HF_ENDPOINT`` names another server, ``HF_TOKEN`` a token.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from slowfast.config.problems import UserError
from slowfast.utils.download import OFFLINE_VARIABLE

__all__ = ["HUB_SCHEME", "fetch_repository"]

HUB_SCHEME = "hf://"
_NAME = re.compile(r"hf://(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
_FILES = ["*.json", "*.safetensors"]


def fetch_repository(url: str, **options: Any) -> Path:
    """Return the local copy of a repository.

    Args:
        url: ``hf://ORG/NAME``, with ``@REVISION``: a branch, tag or commit.
        options: Further arguments of ``huggingface_hub.snapshot_download``, such as ``token``.

    Returns:
        Its folder in the cache.

    Raises:
        UserError: If huggingface_hub is not installed, or the repository cannot be downloaded.
    """
    match = _NAME.fullmatch(url)
    if match is None:
        raise UserError(f"{url}: expected {HUB_SCHEME}ORG/NAME or {HUB_SCHEME}ORG/NAME@REVISION.")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise UserError(
            f"{url}: huggingface_hub is not installed: pip install 'slowfast-stica[hub]'"
        ) from error
    is_offline = os.environ.get(OFFLINE_VARIABLE, "") not in ("", "0")
    settings = {
        "revision": match["revision"],
        "endpoint": os.environ.get("HF_ENDPOINT") or None,
        "allow_patterns": _FILES,
        **options,
    }
    settings["local_files_only"] = is_offline or bool(options.get("local_files_only"))
    try:
        return Path(snapshot_download(match["name"], **settings))
    except Exception as error:  # of huggingface_hub, httpx or the system
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = " ".join(lines[:3]) or type(error).__name__
        hint = f" {OFFLINE_VARIABLE} forbids downloading." if is_offline else ""
        raise UserError(f"{url} could not be downloaded: {reason}{hint}") from error
