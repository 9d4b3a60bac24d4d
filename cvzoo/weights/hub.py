"""Models on the Hugging Face hub, `hf:OWNER/NAME`. Imports no torch.

Of a repository only what cvzoo has put there is downloaded: JSON, text and safetensors. Nothing is unpickled.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from cvzoo.files import SUMS
from cvzoo.weights.errors import WeightsError

SCHEME = "hf:"
RECIPE, WEIGHTS, CARD, ROW_FILES = "recipe.json", "model.safetensors", "README.md", "rows"
NEEDED = (RECIPE, WEIGHTS)


def is_hub(name: str) -> bool:
    """Whether a name is of a model on the hub."""
    return name.startswith(SCHEME)


@cache
def snapshot(name: str) -> Path:
    """The local copy of the folder of `hf:OWNER/NAME` or `hf:OWNER/NAME@REVISION`, up to date where there is a network.

    It lies in the hub's own cache; `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_OFFLINE` and the token are read as ever.
    WeightsError when it cannot be had, or holds no model of cvzoo.
    """
    from huggingface_hub import snapshot_download

    repository, _, revision = name.removeprefix(SCHEME).partition("@")
    wanted = [*NEEDED, CARD, SUMS, f"{ROW_FILES}/*.json"]
    try:
        folder = Path(snapshot_download(repository, revision=revision or None, allow_patterns=wanted))
    except Exception as error:  # the hub's HTTP library is another one with every major version
        raise WeightsError(f"cannot get {name}: {reason(error)}") from error
    if missing := [file for file in NEEDED if not (folder / file).is_file()]:
        raise WeightsError(
            f"{name} holds no model of cvzoo: it has no {' and no '.join(missing)}. Files of other kinds are not taken"
            " from a hub; download what you trust yourself and give its path"
        )
    return folder


def reason(error: Exception) -> str:
    """Why the hub refused, and what to do, in a line."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if isinstance(error, HfHubHTTPError):
        return f"{said}. Check the name; if it is private, `hf auth login`, or set HF_TOKEN"
    if isinstance(error, LocalEntryNotFoundError):
        return f"{said}. Without a network copy the folder from elsewhere and give its path"
    return said
