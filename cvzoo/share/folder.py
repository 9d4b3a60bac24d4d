"""A model as a folder for others: weights, recipe, figures and card; and the same on the Hugging Face hub."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cvzoo.engine.checkpoint import save_weights
from cvzoo.files import atomic, file_digest, stated_digest, write_json, write_sums
from cvzoo.loading import Loaded, build_with_weights
from cvzoo.recipes import Recipe
from cvzoo.recipes.codec import portable, to_json
from cvzoo.results.row_files import RowFile, files_of, read_row
from cvzoo.share.card import Shared, card
from cvzoo.weights.files import is_own
from cvzoo.weights.hub import CARD, RECIPE, ROW_FILES, SCHEME, WEIGHTS, reason


def save(recipe: Recipe[Any], folder: Path, *, licence: str = "", name: str = "") -> Path:
    """Write the recipe's weights, with all that others need to use and to judge them, to a folder; returns it.

    It holds model.safetensors, recipe.json, rows/ with the row files that vouch for the weights, README.md, the model
    card made of these, and SHA256SUMS, which is checked when the weights are read. No path of this machine enters it.

    Args:
        recipe: with `weights`.
        licence: of the weights, by the hub's name for it; empty takes that of published weights.
        name: what the card calls the model in `cvzoo.load`; empty takes the folder.

    Raises: ValueError for the folder of a run, and for weights that are missing or do not fit.
    """
    if (folder / "env.json").exists():
        raise ValueError(f"{folder} is the folder of a run; share it to another one")
    loaded = build_with_weights(recipe)
    digest = file_digest(loaded.file) if loaded.file else None
    measured = _measured(loaded, digest)
    folder.mkdir(parents=True, exist_ok=True)
    sha256 = _write_weights(loaded, digest, folder)
    write_json(folder / RECIPE, portable(to_json(loaded.recipe)))
    shutil.rmtree(folder / ROW_FILES, ignore_errors=True)
    for file, row in measured.items():
        write_json(folder / ROW_FILES / file, dataclasses.asdict(row))
    shared = Shared(
        name=name or str(folder),
        loaded=loaded,
        rows=[*measured.values()],
        licence=licence,
        sha256=sha256,
        size=(folder / WEIGHTS).stat().st_size,
    )
    with atomic(folder / CARD) as temporary:
        temporary.write_text(card(shared))
    write_sums(folder, [WEIGHTS, RECIPE, CARD, *(f"{ROW_FILES}/{file}" for file in measured)], {WEIGHTS: sha256})
    return folder


def push(recipe: Recipe[Any], repository: str, *, licence: str = "", private: bool = False) -> str:
    """Upload what `save` writes to OWNER/NAME on the hub, which is made if there is none yet; returns its address.

    ValueError with the hub's reason where it refuses.
    """
    from huggingface_hub import HfApi

    if repository.count("/") != 1:
        raise ValueError(f"a model on the hub is called {SCHEME}OWNER/NAME, not {SCHEME}{repository}")
    api = HfApi(library_name="cvzoo")
    with TemporaryDirectory() as folder:
        save(recipe, Path(folder), licence=licence, name=f"{SCHEME}{repository}")
        try:
            made = api.create_repo(repository, private=private, exist_ok=True)
            old = [f"{ROW_FILES}/*.json"]
            api.upload_folder(
                repo_id=repository, folder_path=folder, commit_message=f"{recipe.row} by cvzoo", delete_patterns=old
            )
        except Exception as error:  # the hub's HTTP library is another one with every major version
            raise ValueError(f"cannot upload to {SCHEME}{repository}: {reason(error)}") from error
    return str(made)


def _write_weights(loaded: Loaded, digest: str | None, folder: Path) -> str:
    """Returns their sha256. A file of ours stays as it is: its sha256, `digest`, is what its row files know it by."""
    if loaded.file and digest and is_own(loaded.file):
        with atomic(folder / WEIGHTS) as temporary:
            shutil.copyfile(loaded.file, temporary)
        return digest
    origin = {"row": loaded.recipe.row, "recipe": portable(to_json(loaded.recipe))} | loaded.data
    return save_weights(folder, loaded.model.state_dict(), origin)


def _measured(loaded: Loaded, digest: str | None) -> dict[str, RowFile]:
    """The row files that vouch for weights, by name: those of this zoo, and those that a shared file came with."""
    is_shared = loaded.file is not None and stated_digest(loaded.file) is not None
    beside = sorted((loaded.file.parent / ROW_FILES).glob("*@*.json")) if loaded.file and is_shared else []
    found = {path.name: read_row(path) for path in [*beside, *files_of(loaded.recipe, digest)]}
    return {name: dataclasses.replace(file, recipe=portable(file.recipe)) for name, file in found.items()}
