"""Read, merge and check params.yaml and the preset of its dataset."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from icsd.errors import UserError, did_you_mean
from icsd.params.contradictions import contradictions
from icsd.params.messages import explain, shown
from icsd.params.schema import Params
from icsd.yaml_files import read_yaml

PRESET_ONLY = frozenset({"reader", "sources", "classes", "splits", "generated", "folder"})
"""Keys of ``data`` that define the dataset; params.yaml must not set them."""
PARAMS = "params.yaml"


def load_params(root: Path) -> Params:
    """Read and check ``root/params.yaml`` with the preset that it names.

    Raises:
        UserError: All mistakes at once, each with its full path and what is allowed.
    """
    return parse_params(*read_tree(root))


def read_tree(root: Path) -> tuple[dict[str, Any], str]:
    """``root/params.yaml`` merged over the preset that it names, unchecked, and a name of both for messages.

    Raises:
        UserError: A file is missing or not YAML, there is no such preset, or a key belongs in the preset.
    """
    written = read_yaml(root / PARAMS)
    dataset = written.get("dataset")
    known = sorted(path.stem for path in (root / "configs" / "datasets").glob("*.yaml"))
    if dataset not in known:
        quotes = "" if isinstance(dataset, str) else " (which is not text; put it in quotes)"
        hint = did_you_mean(shown(dataset).strip("'"), known)
        raise UserError(f"{PARAMS}: dataset: no preset {shown(dataset)}{quotes}{hint}")
    preset = preset_name(dataset)
    data = written.get("data")
    misplaced = sorted(PRESET_ONLY & data.keys()) if isinstance(data, Mapping) else []
    if misplaced:
        raise UserError(
            "\n".join(
                f"{PARAMS}: data.{key}: says what the dataset is, so it belongs in {preset}: change it "
                f"there, or give -S '{preset}:data.{key}=...' (params.yaml may override the rest)"
                for key in misplaced
            )
        )
    tree = merge(read_yaml(root / preset), written)
    source = f"{PARAMS} (with {preset})"
    refuse_endless(tree, source)
    return tree, source


def preset_name(dataset: str) -> str:
    """Path of a dataset's preset, relative to the root of the repository."""
    return f"configs/datasets/{dataset}.yaml"


def parse_params(tree: Mapping[str, Any], source: str) -> Params:
    """Check a merged tree; ``source`` is only named in messages.

    Raises:
        UserError: See ``load_params``.
    """
    try:
        params = Params.model_validate(tree)
    except ValidationError as error:
        raise listed(source, sorted({_explain(item) for item in error.errors()})) from None
    if problems := list(contradictions(params)):
        raise listed(source, problems)
    return params


def listed(source: str, problems: Sequence[str]) -> UserError:
    """One error that lists all problems."""
    return UserError("\n".join([f"{source}:", *(f"  {line}" for line in problems)]))


def merge(preset: Mapping[str, Any], written: Mapping[str, Any]) -> dict[str, Any]:
    """Merge ``written`` over ``preset``, block by block; a null in ``written`` keeps the preset's value."""
    merged = dict(preset)
    for key, value in written.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        elif value is not None or key not in merged:
            merged[key] = value
    return merged


def refuse_endless(tree: object, source: str, *, budget: int = 100_000) -> None:
    """Reject a tree with more values than parameters can have; repeated YAML aliases count every time.

    Raises:
        UserError: The tree is too large, too deep, or endless.
    """
    waiting = [(tree, 0)]
    while waiting:
        value, depth = waiting.pop()
        budget -= 1
        if budget < 0 or depth > 30:
            raise UserError(
                f"{source}: nested too deeply, or too large; do its aliases (*) name one another?"
            )
        if isinstance(value, Mapping):
            waiting += [(part, depth + 1) for part in value.values()]
        elif isinstance(value, list | tuple | set):
            waiting += [(part, depth + 1) for part in value]


def _explain(error: ErrorDetails) -> str:
    return explain(
        error,
        schema=Params,
        missing="missing, and the preset does not set it either",
        null="null here and in the preset; give a value",
    )
