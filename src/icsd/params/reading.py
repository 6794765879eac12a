"""params.yaml and the preset of its dataset, read, merged and checked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from icsd.errors import UserError, did_you_mean
from icsd.params.contradictions import contradictions
from icsd.params.messages import explain
from icsd.params.schema import Params
from icsd.yaml_files import read_yaml

PRESET_ONLY = frozenset({"reader", "sources", "classes", "splits", "generated"})
"""Keys of ``data`` that say what the dataset is; params.yaml must not set them."""
PARAMS = "params.yaml"


def load_params(root: Path) -> Params:
    """Read and check ``root/params.yaml`` with the preset that it names.

    Raises:
        UserError: Any mistake, all of them at once, each with its full path and what is allowed.
    """
    tree = read_tree(root)
    return parse_params(tree, source=f"{PARAMS} (with {preset_name(tree['dataset'])})")


def read_tree(root: Path) -> dict[str, Any]:
    """``root/params.yaml`` over the preset that it names: every value as it is used, not yet checked.

    Raises:
        UserError: A file is missing or is not YAML, there is no such preset, or a key belongs into it.
    """
    written = read_yaml(root / PARAMS)
    dataset = written.get("dataset")
    presets = root / "configs" / "datasets"
    if not isinstance(dataset, str) or not (presets / f"{dataset}.yaml").is_file():
        known = sorted(path.stem for path in presets.glob("*.yaml"))
        raise UserError(f"{PARAMS}: dataset: no preset {dataset!r}{did_you_mean(str(dataset), known)}")
    preset = preset_name(dataset)
    for key in sorted(PRESET_ONLY & set(written.get("data") or {})):
        raise UserError(
            f"{PARAMS}: data.{key}: says what the dataset is, so it belongs in {preset}: change it "
            f"there, or give -S '{preset}:data.{key}=...' (params.yaml may override the rest)"
        )
    return merge(read_yaml(root / preset), written)


def preset_name(dataset: str) -> str:
    """The preset of a dataset, from the root of the repository."""
    return f"configs/datasets/{dataset}.yaml"


def parse_params(tree: Mapping[str, Any], *, source: str) -> Params:
    """Check a merged tree; ``source`` is only named in messages."""
    try:
        params = Params.model_validate(tree)
    except ValidationError as error:
        lines = sorted({_explain(item) for item in error.errors()})
        raise UserError(f"{source}:\n" + "\n".join(f"  {line}" for line in lines)) from None
    problems = list(contradictions(params))
    if problems:
        raise UserError(f"{source}:\n" + "\n".join(f"  {line}" for line in problems))
    return params


def merge(preset: Mapping[str, Any], written: Mapping[str, Any]) -> dict[str, Any]:
    """``written`` over ``preset``, block by block; a written null leaves the preset's value."""
    merged = dict(preset)
    for key, value in written.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        elif value is not None or key not in merged:
            merged[key] = value
    return merged


def _explain(error: ErrorDetails) -> str:
    return explain(
        error,
        schema=Params,
        missing="missing, and the preset does not set it either",
        null="null here and in the preset; give a value",
    )
