"""Writes the preset as YAML, with comments about what each value was inferred from."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from icsd.commands.new_dataset.classes import Meaning, Value, percent
from icsd.commands.new_dataset.layout import Layout
from icsd.commands.new_dataset.settings import Settings
from icsd.commands.new_dataset.splits import Splits
from icsd.params import merge
from icsd.params.reading import preset_name
from icsd.yaml_files import read_yaml

_BASE = "shapes"
"""The preset whose values are used if nothing was inferred."""
_WIDTH = 160


def preset_text(
    root: Path, folder: Path, *, layout: Layout, meaning: Meaning, splits: Splits, settings: Settings
) -> str:
    """The content of configs/datasets/<name>.yaml.

    Args:
        root: The repository.
        folder: The folder of images and masks.
        layout: Images and masks.
        meaning: Classes and ignored values.
        splits: The splits and their roles.
        settings: Sizes and training.
    """
    data, why = _data(folder, layout, meaning, splits)
    base = read_yaml(root / preset_name(_BASE))
    tree = merge(base, settings.tree) | {"data": data}
    why = {**why, **settings.why}
    text = io.StringIO()
    writer = YAML()
    writer.width = _WIDTH
    writer.dump(_commented(tree, why), text)
    head = (
        f"# {folder.name}: written by `python -m pipeline new-dataset` from what lies in the folder; change\n"
        "# what it could not see. docs/datasets.md explains the block `data`.\n\n"
    )
    return head + text.getvalue()


def _data(
    folder: Path, layout: Layout, meaning: Meaning, splits: Splits
) -> tuple[dict[str, Any], dict[str, str]]:
    unmasked = [key for key in layout.unmasked if splits.lists is None]
    described = {
        "images": layout.images.template,
        "masks": layout.masks.template,
        "lists": splits.lists,
        "fractions": dict(splits.fractions) if splits.fractions else None,
        "seed": splits.seed,
        "classes": {found.name: _written(found.values) for found in meaning.classes},
        "ignore": [_plain(value) for value in meaning.ignored],
        "unlabelled": bool(unmasked),
    }
    data = {
        "reader": "folder",
        "source": str(folder),
        "sources": [],
        "classes": len(meaning.classes),
        "splits": {role: splits.roles.get(role) for role in ("train", "validation", "report")},
        "holdout": 0,
        "generated": None,
        "folder": described,
    }
    why = {
        "data.source": "the folder, which is only read",
        "data.splits": splits.why,
        "data.folder.images": f"{len(layout.images.files):,} images",
        "data.folder.masks": f"{len(layout.pairs):,} of them have a mask",
        "data.folder.classes": "shares are of all pixels of all masks",
        "data.folder.unlabelled": (
            f"{len(unmasked):,} images have no mask; their pixels are ignored"
            if unmasked
            else "every image has a mask"
        ),
    }
    for found in meaning.classes:
        share = (
            f"{percent(found.share)} of the pixels, in {found.masks:,} masks" if found.masks else "in no mask"
        )
        why[f"data.folder.classes.{found.name}"] = share
    if meaning.ignored:
        evidence = list(meaning.ignored.values())
        more = f"; and {len(evidence) - 1} more" if len(evidence) > 1 else ""
        why["data.folder.ignore"] = f"{evidence[0]}{more}"
    for role, keys in splits.keys.items():
        why[f"data.splits.{role}"] = f"{len(keys):,} images with a mask"
    return data, why


def _written(values: tuple[Value, ...]) -> Any:  # noqa: ANN401 - a number, or a list
    """A single number as it is; colours as a list."""
    only = values[0]
    return only if len(values) == 1 and isinstance(only, int) else [_plain(value) for value in values]


def _plain(value: Value) -> int | list[int]:
    return value if isinstance(value, int) else list(value)


def _commented(tree: Any, why: Mapping[str, str], path: str = "") -> Any:  # noqa: ANN401 - any part of the tree
    """The tree for ruamel, with each key's comment at the end of its line, or above its block."""
    if isinstance(tree, list):
        sequence = CommentedSeq([_commented(part, {}) for part in tree])
        sequence.fa.set_flow_style()
        return sequence
    if not isinstance(tree, Mapping):
        return tree
    block = CommentedMap()
    for key, value in tree.items():
        place = f"{path}.{key}" if path else str(key)
        block[key] = _commented(value, why, place)
        if not path and len(block) > 1:
            block.yaml_set_comment_before_after_key(key, before="\n")
        if comment := why.get(place):
            if isinstance(value, Mapping):
                block.yaml_set_comment_before_after_key(key, before=comment, indent=2 * place.count("."))
            else:
                block.yaml_add_eol_comment(comment, key)
    return block
