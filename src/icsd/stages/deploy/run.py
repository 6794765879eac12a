"""Stage ``deploy``: every student's champion as files, what they get right, and how long they take.

It runs between the evaluations and the report, since the report shows what it measures: the champion follows
from the results by the report's own rule, and needs no report. Which network MLflow's registry calls champion
is no input: the registry remembers other grids, and DVC cannot know when it changes.
"""

from pathlib import Path

from icsd.deployed import RECORD, DeploymentRecord, deployed_folder
from icsd.files import folder_written_whole
from icsd.params import Params
from icsd.records import write_record
from icsd.stages.exports import check_exports
from icsd.stages.guard import guarded
from icsd.stages.validate import checked_params


def deploy(root: Path) -> None:
    """Write deployed/<dataset>/: the files of ``deploy.formats``, or only that there are none.

    Raises:
        UserError: A library is missing, a network or its results are, or a file does not compute what its
            network does.
    """
    params = checked_params(root)
    check_exports(params)
    output = deployed_folder(params.dataset)
    with guarded(root, output):
        record = DeploymentRecord(dataset=params.dataset, students=())
        with folder_written_whole(root / output) as folder:
            if params.deploy.formats:
                # These need torch, for which a grid without files need not wait.
                from icsd.stages.deploy.champions import deploy_champions

                record = deploy_champions(root, params, folder)
            write_record(folder / RECORD, record)
        if record.students:
            _record(root, params, record)
    made = sum(len(each.files) for each in record.students)
    print(f"{output.as_posix()}: {made} files" if made else "deploy.formats is empty: no files", flush=True)


def _record(root: Path, params: Params, record: DeploymentRecord) -> None:
    from icsd.stages.recording.deployment import record_deployed

    for student in record.students:
        record_deployed(root, params, student)
