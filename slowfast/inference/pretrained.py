"""Saves and loads frozen models as folders in Hugging Face's layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor

from slowfast import __version__
from slowfast.config import UserError
from slowfast.config.paths import find_package_file
from slowfast.config.renamed import translate_results
from slowfast.engine.records import hash_weights
from slowfast.inference.model_card import CardFacts, render_card
from slowfast.models.method import replicated_buffers
from slowfast.models.zoo.packaged import read_facts
from slowfast.models.zoo.publish import portable_config, to_half
from slowfast.models.zoo.rows import find_row
from slowfast.utils.hub import HUB_SCHEME, fetch_repository
from slowfast.utils.io import atomic_path, read_json
from slowfast.utils.pretrained_folder import (
    CONFIG_NAME,
    WEIGHTS_NAME,
    is_pretrained_folder,
    write_pretrained,
)

if TYPE_CHECKING:
    from slowfast.inference.frozen import FrozenModel

__all__ = ["CARD_NAME", "PretrainedMixin", "facts_of", "find_pretrained", "save_pretrained"]

CARD_NAME = "README.md"
_RESULTS = "results.json"


def save_pretrained(
    model: FrozenModel, folder: str | Path, facts: CardFacts | None = None, *, half: bool = False
) -> list[Path]:
    """Write ``config.json``, ``model.safetensors`` and ``README.md``.

    Weights that features do not need are left out: memory banks, queues, and a head that was not
    trained.

    Args:
        model: The model.
        folder: Created if it does not exist. In one that was written before, weights and
            configuration are replaced, and the card, which may have been edited, is kept.
        facts: For the model card.
        half: Round float32 weights to float16.

    Returns:
        The files that were written.

    Raises:
        UserError: If the model is of another library, the folder has other content, or, with
            ``half``, a weight is not finite.
    """
    if model.inputs is not None:
        raise UserError(f"{model.name} is a model of another library: copy its own folder.")
    folder, facts = Path(folder), facts or CardFacts()
    if folder.is_dir() and any(folder.iterdir()) and not is_pretrained_folder(folder):
        raise UserError(f"{folder} has other files: choose a new folder for the model.")
    name = folder.absolute().name
    state = _published_state(model)
    parameters = sum(value.numel() for value in state.values())
    if half:
        state = to_half(state).state
    cfg = portable_config(model.cfg.dump(), name)
    write_pretrained(folder, state, cfg, version=__version__, class_names=model.class_names)
    text = render_card(
        name,
        model.cfg,
        facts._replace(records=_own_records(model, facts)),
        modalities=sorted(model.modalities, reverse=True),
        class_names=model.class_names,
        is_classifier=model.is_classifier,
        parameters=parameters,
    )
    written, card = [folder / CONFIG_NAME, folder / WEIGHTS_NAME], folder / CARD_NAME
    if card.exists():
        return written
    with atomic_path(card) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return [*written, card]


def _published_state(model: FrozenModel) -> dict[str, Tensor]:
    from slowfast.inference.load import FEATURES_OF  # it builds the model's class

    banks = set(replicated_buffers(model.encoder))
    classifies = getattr(model.encoder, "classifies", True)
    untrained = tuple(
        part
        for part, features in FEATURES_OF.items()
        if features <= model.without and (classifies or part != "head.")
    )
    return {
        key: value
        for key, value in model.encoder.state_dict().items()
        if key not in banks and not key.startswith(untrained)
    }


def _own_records(model: FrozenModel, facts: CardFacts) -> list[dict[str, Any]]:
    """Return the results that were measured with these weights."""
    if not facts.records:
        return []
    weights = hash_weights(model.encoder)
    return [record for record in facts.records if record["checkpoint"] == weights]


def facts_of(source: str | Path) -> CardFacts:
    """Collect what is known about weights, for their model card.

    Args:
        source: As for ``slowfast.load``, which must have loaded it.

    Returns:
        License, data and source of a row of the zoo; the results next to the weights of a run.
    """
    text = str(source)
    if not text.startswith("zoo://"):
        folder = Path(text).expanduser()
        content = read_json(folder / _RESULTS) if folder.is_dir() else {}
        return CardFacts(records=translate_results(content).get("records", []))
    row = find_row(text)
    if not row.is_packaged:
        return CardFacts(row.license, row.data, source=row.source, note=row.note)
    folder = find_package_file(row.url).parent
    facts = read_facts(folder)
    records = translate_results(read_json(folder / _RESULTS)).get("records", [])
    return CardFacts(
        *(facts.license, facts.data, facts.attribution),
        note=facts.note,
        limits=facts.limits,
        records=records,
    )


def find_pretrained(name: str | Path, revision: str | None = None, **options: Any) -> Path:
    """Return the folder of ``from_pretrained``.

    Args:
        name: A folder, ``ORG/NAME`` or ``hf://ORG/NAME``; a folder of this name takes precedence.
        revision: Branch, tag or commit on the Hugging Face Hub.
        options: Arguments of ``huggingface_hub.snapshot_download``.

    Returns:
        A local folder.

    Raises:
        UserError: If it cannot be downloaded.
    """
    if Path(name).is_dir():
        return Path(name)
    url = str(name) if str(name).startswith(HUB_SCHEME) else f"{HUB_SCHEME}{name}"
    return fetch_repository(f"{url}@{revision}" if revision else url, **options)


class PretrainedMixin:
    """``from_pretrained`` and ``save_pretrained`` of a frozen model."""

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
        **model_kwargs: Any,
    ) -> FrozenModel:
        """Load a folder that ``save_pretrained`` has written, or a repository with its files.

        The arguments are those of ``huggingface_hub.PyTorchModelHubMixin``.

        Args:
            pretrained_model_name_or_path: A folder, or ``ORG/NAME`` on the Hugging Face Hub.
            force_download: Download again what is cached.
            token: Token of the Hub; None: the stored one.
            cache_dir: Folder of the downloads; None: that of huggingface_hub.
            local_files_only: Use the cache only.
            revision: Branch, tag or commit.
            model_kwargs: Arguments of ``slowfast.load``: ``overrides``, ``device``.

        Returns:
            The model.

        Raises:
            UserError: If it cannot be downloaded or read.
        """
        from slowfast.inference.load import load  # it builds this class

        folder = find_pretrained(
            pretrained_model_name_or_path,
            revision,
            force_download=force_download,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
        )
        return load(folder, **model_kwargs)

    def save_pretrained(
        self, save_directory: str | Path, *, half: bool = False, **card: str
    ) -> None:
        """Write ``config.json``, ``model.safetensors`` and a model card.

        Args:
            save_directory: Created if it does not exist.
            half: Round float32 weights to float16.
            card: Text for the card: ``license``, ``data``, ``attribution``, ``source``, ``note``.
        """
        model = cast("FrozenModel", self)
        save_pretrained(model, save_directory, CardFacts(**card), half=half)  # type: ignore[arg-type]
