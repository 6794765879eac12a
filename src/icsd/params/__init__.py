"""params.yaml merged with the dataset's preset, as one frozen, strict tree."""

from icsd.params.block import Block, Count, Name, Natural, NonNegative, Positive
from icsd.params.networks import Network, TeacherNetwork
from icsd.params.reading import (
    PARAMS,
    PRESET_ONLY,
    load_params,
    merge,
    parse_params,
    read_tree,
    refuse_endless,
)
from icsd.params.schema import (
    Data,
    MethodBlock,
    Params,
    Runtime,
    digest_of,
    has_validation,
)
from icsd.params.training import PacedTraining, StudentTraining, Training

__all__ = [
    "PARAMS",
    "PRESET_ONLY",
    "Block",
    "Count",
    "Data",
    "MethodBlock",
    "Name",
    "Natural",
    "Network",
    "NonNegative",
    "PacedTraining",
    "Params",
    "Positive",
    "Runtime",
    "StudentTraining",
    "TeacherNetwork",
    "Training",
    "digest_of",
    "has_validation",
    "load_params",
    "merge",
    "parse_params",
    "read_tree",
    "refuse_endless",
]
