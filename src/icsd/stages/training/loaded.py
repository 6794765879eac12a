"""A teacher that is not trained here: loaded, tested for admission, and written like a trained one."""

from datetime import UTC, datetime

import torch

from icsd.core.seeds import seed_at
from icsd.stages.own_weights import initial_network
from icsd.stages.recording.training import TrainingRecorder, git_record, mlflow_record, open_tracker
from icsd.stages.training.admission import admit, in_words
from icsd.stages.training.outputs import write_cost, write_loaded
from icsd.stages.training.process import Run
from icsd.training.loop import Progress


def load_and_admit(run: Run) -> None:
    """Load and admit a teacher, and write the outputs that a training would write. Runs on every rank.

    Raises:
        UserError: The file cannot be loaded, or the teacher is not admitted.
    """
    started = datetime.now(UTC)
    params, key, first = run.job.params, run.job.key, run.fabric.is_global_zero
    torch.manual_seed(seed_at(key.seed, "init", key.network))
    network = initial_network(run.root, params, key)
    admission = admit(run, network)
    run.fabric.print(f"{key.title}: {in_words(admission)}", flush=True)
    with open_tracker(run.root, params, key, state=run.state, active=first) as tracker:
        recorder = TrainingRecorder(tracker, params, key)
        recorder.start(run.job.numbers, run.data, Progress())
        if first:
            write_loaded(run, network, admission)
            write_cost(
                run,
                seconds=0.0,
                epochs=0,
                images=0,
                extra_parameters=0,
                resumed=0,
                started=started,
                mlflow=mlflow_record(run.root, params, tracker),
                git=git_record(run.root),
            )
            recorder.end(run.folder, [], diverged=None)
    run.fabric.barrier()
