from tests.project import change

from icsd.runs import RunKey
from icsd.stages.recording.training import TrainingRecorder, mlflow_record, own_parameters
from icsd.stages.training import run
from icsd.stages.training.job import student_job, teacher_job
from icsd.stages.training.run import train_student
from icsd.stages.validate import checked_params
from icsd.tracking import NullTracker


def student(project, method="aicsd", seed=0):
    train_student(project, method=method, student="resnet18", seed=seed)


def test_the_parameters_in_mlflow_are_those_that_tell_a_network_from_its_siblings(project):
    params = checked_params(project)
    key = RunKey("shapes", "aicsd", "resnet18", 0)
    numbers = student_job(params, key).numbers
    assert own_parameters(numbers, key) == {
        "network": {"backbone": "resnet18"},
        "seed": 0,
        "method": {"name": "aicsd", "weights": numbers["method"]["weights"]},
        "alw": {"decay": "linear"},
    }
    teacher = teacher_job(params)
    assert own_parameters(teacher.numbers, teacher.key)["method"] == {"name": "teacher"}


def test_the_similarity_is_a_picture_with_a_step_in_mlflow(taught, monkeypatch):
    class Recorder(NullTracker):
        def log(self, metrics, step):
            logged[step] = metrics.get("similarity/distance")

        def image(self, picture, *, key, step):
            pictures.append((key, step, picture.shape))

    logged: dict[int, float] = {}
    pictures: list[tuple[str, int, tuple[int, ...]]] = []
    change(taught, tracking={"enabled": True}, monitor={"similarity_every": 1})
    monkeypatch.setattr(run, "open_tracker", lambda *_, **__: Recorder())
    student(taught, "kd")
    assert [step for _, step, _ in pictures] == [0, 1, 2, 3]
    assert {(key, shape) for key, _, shape in pictures} == {("similarity/ics", (1024, 1024, 3))}
    assert set(logged) == {0, 1, 2, 3}
    assert None not in logged.values()


def test_a_diverged_student_is_a_failed_run_in_mlflow(taught, monkeypatch):
    class Recorder(NullTracker):
        def tags(self, values):
            recorded.update(values)

        def close(self, status="FINISHED"):
            recorded["status"] = status

    recorded: dict[str, str] = {}
    monkeypatch.setattr(run, "open_tracker", lambda *_, **__: Recorder())
    change(taught, train={"lr": 1e30})
    student(taught, "kd")
    assert recorded["status"] == "FAILED"
    assert "is not finite" in recorded["icsd.diverged"]


def test_a_term_that_does_nothing_is_warned_of(taught, capsys):
    change(taught, methods={"kd": {"weights": {"kd": 1e-9}}})
    student(taught, "kd")
    assert "warning: kd: the loss term kd does nothing" in capsys.readouterr().out


def test_the_student_alone_is_not_warned_of(taught, capsys):
    student(taught, "none")
    assert "health/" not in (taught / "runs/shapes/none/resnet18-0/history.csv").read_text()
    assert "warning" not in capsys.readouterr().out


def test_a_warning_is_a_tag_in_mlflow(project):
    class Recorder(NullTracker):
        def tags(self, values):
            recorded.update(values)

    recorded: dict[str, str] = {}
    recorder = TrainingRecorder(Recorder(), checked_params(project), RunKey("shapes", "kd", "resnet18", 0))
    row = {"health/share/ce": 0.5, "health/share/kd": 0.5, "weight/ce": 1.0, "weight/kd": 1.0}
    recorder.warn_of_health([row])
    assert recorded == {}
    row = row | {"health/share/ce": 1.0, "health/share/kd": 0.0}
    recorder.warn_of_health([row])
    assert list(recorded) == ["icsd.loss_health"]
    assert "kd does nothing" in recorded["icsd.loss_health"]


def test_the_address_of_the_store_is_shared_without_credentials(project, monkeypatch):
    change(project, tracking={"enabled": True})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@mlflow.example.org:5000")
    record = mlflow_record(project, checked_params(project), NullTracker())
    assert record.model_dump() == {
        "experiment": "icsd-shapes",
        "run_id": None,
        "uri": "https://mlflow.example.org:5000",
        "key": None,
    }


def test_the_address_of_a_store_on_this_machine_does_not_show_where_it_is(project, monkeypatch):
    change(project, tracking={"enabled": True})
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    record = mlflow_record(project, checked_params(project), NullTracker())
    assert record.uri == "sqlite:///mlflow.db"


def test_without_tracking_there_is_no_run_to_name(project):
    assert mlflow_record(project, checked_params(project), NullTracker()) is None
