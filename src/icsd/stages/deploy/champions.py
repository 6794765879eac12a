"""The champions of a grid, and the images that they are exported with and measured on."""

from pathlib import Path

import torch

from icsd.data.prepared import REPORT, TRAIN, PreparedData
from icsd.data.resizing import scaled_size
from icsd.deployed import DeploymentRecord
from icsd.deployment.writing import spread
from icsd.errors import UserError
from icsd.machine import processor
from icsd.params import Params
from icsd.reporting.champion import champion_of
from icsd.reporting.differences import resample
from icsd.reporting.reading import load_results
from icsd.reporting.results import Run
from icsd.runs import data_folder
from icsd.stages.deploy.files import Images, deploy_student
from icsd.stages.deploy.timing import THREADS


def deploy_champions(root: Path, params: Params, folder: Path) -> DeploymentRecord:
    """Write the champions' files to a folder, and measure them.

    Args:
        root: The repository.
        params: The parameters of this execution; ``deploy.formats`` is not empty.
        folder: The unfinished output folder, which nothing reads yet.

    Raises:
        UserError: There is no champion, a network is missing or damaged, or a file does not compute what its
            network does.
    """
    torch.set_num_threads(params.runtime.threads)
    champions = _champions(root, params)
    images = _images(root, params)
    return DeploymentRecord(
        dataset=params.dataset,
        students=tuple(
            deploy_student(root, params, run, reason, folder, images) for run, reason in champions
        ),
        size=images.size,
        threads=THREADS,
        machine=processor(),
        preprocessing=params.deploy.preprocessing,
    )


def _champions(root: Path, params: Params) -> list[tuple[Run, str]]:
    """The champion of every student that has one, and the reason for the choice."""
    grid, tests = params.grid, params.report
    results = load_results(
        root, dataset=params.dataset, methods=grid.methods, students=grid.students, seeds=grid.seeds
    )
    resampled = resample(results, resamples=tests.resamples, seed=tests.seed, clips=tests.clip_pattern)
    found = [champion_of(results, student, resampled) for student in grid.students]
    champions = [each for each in found if each is not None]
    if not champions:
        raise UserError(
            f"results/{params.dataset}: no student has a score, so there is no network to deploy; set "
            "deploy.formats to []"
        )
    return champions


def _images(root: Path, params: Params) -> Images:
    data = PreparedData(root / data_folder(params.dataset))
    learnt, reported = data.split(TRAIN), data.split(REPORT)
    chosen = spread(range(len(learnt)), params.deploy.calibration)
    height, width = reported[0][1].shape
    size = scaled_size((height, width), params.images.input_scale)
    return Images([learnt[index][0] for index in chosen], reported, size)
