"""Digests of what determines a network in addition to the parameters: code, data, teacher, initial weights.

Training writes them to train.json and resumes a run only if they are unchanged; ``verify`` compares them with
the current ones.
"""

from pathlib import Path

from icsd.data.prepared import PreparedData
from icsd.errors import UserError
from icsd.files import sha256_of
from icsd.params import Params
from icsd.records import Provenance
from icsd.runs import RunKey, data_folder
from icsd.stages.code import code_of_method, code_of_training
from icsd.stages.grid import teacher_key
from icsd.stages.initial_weights import digest_of_file, digest_of_weights, digests_of_network


def provenance_of(root: Path, params: Params, key: RunKey, *, data: PreparedData | None = None) -> Provenance:
    """The digests that a network would have if it were trained now.

    Args:
        root: The repository.
        params: The whole parameter tree.
        key: Which network it is.
        data: The dataset's prepared data, if they are already open.

    Raises:
        UserError: The data are not prepared, or a student has no teacher yet.
    """
    teacher = None if key.is_teacher else root / teacher_key(params).weights
    if teacher is not None and not teacher.exists():
        raise UserError(
            f"{teacher.relative_to(root)}: there is no teacher yet; run `dvc repro train_teacher`"
        )
    return Provenance(
        code=code_of(params, key) | digests_of_network(root, params, key),
        data=(data or PreparedData(root / data_folder(params.dataset))).digest,
        teacher=sha256_of(teacher) if teacher else None,
        pretrained=digest_of_file(root, params, key),
        weights=digest_of_weights(root, params, key),
    )


def code_of(params: Params, key: RunKey) -> dict[str, str]:
    """Path in ``src`` -> SHA-256 of the files that determine a network, without those of other methods."""
    code = code_of_training()
    if not key.is_teacher:
        code |= code_of_method(key.method, params.methods[key.method].block)
    return dict(sorted(code.items()))
