"""Stage ``validate``: every mistake in the parameters ends here, in seconds, before any work."""

from pathlib import Path

import yaml

from icsd.data import DATASETS
from icsd.files import write_json
from icsd.params import Params, UserError, did_you_mean, load_params


def checked_params(root: Path) -> Params:
    """The tree of ``root``, checked as far as is possible without torch: every stage begins with this.

    Raises:
        UserError: A mistake in params.yaml or the preset.
    """
    params = load_params(root)
    if params.data.reader not in DATASETS:
        raise UserError(
            f"data.reader: no dataset {params.data.reader!r}"
            f"{did_you_mean(params.data.reader, sorted(DATASETS))}"
        )
    classes = DATASETS[params.data.reader].classes
    if params.data.classes != len(classes):
        raise UserError(
            f"data.classes: is {params.data.classes}, but {params.data.reader} has {len(classes)} classes "
            f"({', '.join(classes)}); set it to {len(classes)}"
        )
    if (params.data.reader == "shapes") != (params.data.generated is not None):
        raise UserError("data.generated: belongs to the reader `shapes`, and only to it")
    return params


def validate(root: Path, *, show: bool) -> None:
    """Check everything, the methods' blocks against their classes included, and write the stage's output."""
    params = checked_params(root)

    from icsd.methods import parse_block  # imports torch: only once the rest is known to be right

    for name, method in params.methods.items():
        parse_block(name, method.block)
    if show:
        print(yaml.safe_dump(params.model_dump(), sort_keys=False, allow_unicode=True), end="")
    # The same bytes whatever the values are: a valid change must not make other stages stale.
    write_json(root / "data" / params.dataset / "validated.json", {"valid": True})
