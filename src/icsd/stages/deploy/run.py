"""Stage ``deploy``: every student's champion as files, with their accuracy and latency.

It runs between the evaluations and the report, which shows its measurements. The champion follows from the
results by the report's own rule, so no report is needed. The champion in MLflow's registry is not an input:
the registry remembers other grids, and DVC cannot tell when it changes.
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
    """Write deployed/<dataset>/: the files of ``deploy.formats``, or a record that there are none.

    Raises:
        UserError: A library, a network or its results are missing, or a file does not compute what its
            network does.
    """
    params = checked_params(root)
    check_exports(params)
    output = deployed_folder(params.dataset)
    with guarded(root, output):
        record = DeploymentRecord(dataset=params.dataset, students=())
        with folder_written_whole(root / output) as folder:
            if params.deploy.formats:
                # Imported here because it needs torch, which is slow to import and not needed without files.
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
