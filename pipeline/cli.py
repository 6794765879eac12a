"""All commands. Each imports what it needs when it runs, so that ``--help`` costs nothing."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click
from click.shell_completion import CompletionItem, get_completion_class

from icsd.importing import uncollected
from pipeline.failures import failures_as_messages
from pipeline.groups import SectionedGroup
from pipeline.parent import end_with_parent

PROGRAM = "python -m pipeline"
STAGES = "Stages, which `dvc repro` runs in order (see dvc.yaml)"
TYPED = "Commands for people"
SHELL = "For your shell"
_ALIAS, _COMPLETE = "icsd", "_ICSD_COMPLETE"


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        import tomllib

        project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
        click.echo(f"icsd {project['project']['version']}")
        ctx.exit()


@click.group(
    cls=SectionedGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="`python -m pipeline COMMAND --help` explains a command and gives an example.",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
def cli() -> None:
    """Distil a large segmentation network into a small one, and compare the methods that do so.

    `dvc repro` runs everything that is out of date. The commands below are its stages, and what you type.
    """


def _command(section: str, *, example: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A command of a section; its help ends with an example."""

    def add(function: Callable[..., Any]) -> click.Command:
        command = click.command(epilog=f"Example: {PROGRAM} {example}")(function)
        cli.add(section, command)
        return command

    return add


def _blocks(*path: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Completes with the keys of a block of params.yaml."""

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from icsd.yaml_files import read_yaml

        try:
            block: Any = read_yaml(Path.cwd() / "params.yaml")
            for key in path:
                block = block[key]
            return [CompletionItem(name) for name in block if name.startswith(incomplete)]
        except (ValueError, KeyError, TypeError):
            return []  # a completion is a courtesy

    return complete


_methods = click.argument("methods", nargs=-1, metavar="[METHOD]...", shell_complete=_blocks("methods"))


@_command(STAGES, example="validate --show")
@click.option(
    "--show", is_flag=True, help="Print the resolved parameters: the preset, with what params.yaml changes."
)
def validate(show: bool) -> None:
    """Check all of params.yaml and the dataset's preset, and list every mistake."""
    from icsd.commands.foresight import foresight
    from icsd.stages.validate import validate as run

    run(Path.cwd(), show=show)
    if note := foresight(Path.cwd()):
        click.echo(note, err=True)


@_command(STAGES, example="download")
def download() -> None:
    """Fetch and verify the dataset's archives: from a URL, a local archive or a folder."""
    from icsd.stages.download import download as run

    run(Path.cwd())


@_command(STAGES, example="preprocess")
def preprocess() -> None:
    """Map labels to train ids, write shards, and let the doctor examine the data."""
    from icsd.stages.preprocess import preprocess as run

    run(Path.cwd())


@_command(STAGES, example="train-teacher")
def train_teacher() -> None:
    """Train the teacher; resumes after the last finished epoch of an interrupted run."""
    with uncollected():
        from icsd.stages.training.run import train_teacher as run

    run(Path.cwd())


@_command(STAGES, example="train-student --method kd --student resnet18 --seed 0")
@click.option(
    "--method", required=True, help="A block of `methods` in params.yaml.", shell_complete=_blocks("methods")
)
@click.option(
    "--student",
    required=True,
    help="A block of `networks.students` in params.yaml.",
    shell_complete=_blocks("networks", "students"),
)
@click.option(
    "--seed", required=True, type=int, help="Seed of the initial weights, the order and the augmentation."
)
def train_student(method: str, student: str, seed: int) -> None:
    """Train one student with one method; resumes after the last finished epoch of an interrupted run."""
    with uncollected():
        from icsd.stages.training.run import train_student as run

    run(Path.cwd(), method=method, student=student, seed=seed)


@_command(STAGES, example="evaluate --method aicsd")
@click.option(
    "--method",
    required=True,
    help="`teacher`, or a method of the grid in params.yaml.",
    shell_complete=_blocks("methods"),
)
def evaluate(method: str) -> None:
    """Measure the teacher, or all students of a method, on the reported split."""
    with uncollected():
        from icsd.stages.evaluation.run import evaluate_students, evaluate_teacher

    if method == "teacher":
        evaluate_teacher(Path.cwd())
    else:
        evaluate_students(Path.cwd(), method=method)


@_command(STAGES, example="deploy")
def deploy() -> None:
    """Export every student's champion to deploy.formats, and measure the files on the reported split."""
    with uncollected():
        from icsd.stages.deploy.run import deploy as run

    run(Path.cwd())


@_command(STAGES, example="report")
def report() -> None:
    """Write tables, figures and report.html, and this execution's summary in MLflow."""
    with uncollected():
        from icsd.stages.report import report as run

    run(Path.cwd())


@_command(TYPED, example="run -j 2")
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option(
    "-j", "--jobs", type=click.IntRange(1), help="Stages at a time (default: one per core, or per GPU)."
)
@click.option("--gpus", help="Numbers of GPUs, as 0,1; each stage gets one.")
@click.option("--per-gpu", type=click.IntRange(1), default=1, help="Stages at a time on each GPU.")
@click.option("-k", "--keep-going", is_flag=True, help="After a failure, run what does not depend on it.")
@click.option("-f", "--force", is_flag=True, help="Run what is not stale as well.")
@click.option("--pull", is_flag=True, help="Fetch results that are in DVC's remote.")
@click.option("--downstream", is_flag=True, help="The targets, and what depends on them.")
@click.option("--dry", is_flag=True, help="Only say what would run.")
@click.option("--on", type=click.Choice(["ray", "slurm"]), help="Train and evaluate on a cluster's machines.")
def run(
    targets: tuple[str, ...],
    jobs: int | None,
    gpus: str | None,
    per_gpu: int,
    keep_going: bool,
    force: bool,
    pull: bool,
    downstream: bool,
    dry: bool,
    on: str | None,
) -> None:
    """Run everything that is out of date, as `dvc repro` does, but several stages at a time.

    TARGET is a stage of dvc.yaml, which is run with what it needs; by default, all are. The outcome is that
    of `dvc repro`, and both may be used in turn. Ctrl-C ends the stages that run; the same command resumes.
    """
    from icsd.commands.run.command import run as execute

    code = execute(
        Path.cwd(),
        targets,
        jobs=jobs,
        gpus=gpus.split(",") if gpus else (),
        per_gpu=per_gpu,
        keep_going=keep_going,
        force=force,
        pull=pull,
        downstream=downstream,
        dry=dry,
        on=on,
    )
    if code:
        sys.exit(code)


@_command(TYPED, example="new-dataset ~/photos --yes")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--name", help="Of the preset (default: the folder's).")
@click.option("--yes", is_flag=True, help="Ask nothing: take the defaults, and say which.")
@click.option("--force", is_flag=True, help="Replace a preset of this name.")
def new_dataset(folder: Path, name: str | None, yes: bool, force: bool) -> None:
    """Write the preset of a folder of images and masks, from what lies there.

    Finds images and masks, splits, classes and their shares, ignored values, sizes and settings that suit
    them, writes configs/datasets/NAME.yaml with comments that say what each was inferred from, and lets the
    doctor examine the data. DIR is only read.
    """
    from icsd.commands.new_dataset.run import new_dataset as run

    run(Path.cwd(), folder, name=name, ask=not yes and sys.stdin.isatty(), force=force)


@_command(TYPED, example="convert-coco instances.json images ~/photos")
@click.argument("annotations", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--split", help="train, val or test: a folder of its own below OUT, one call for each.")
def convert_coco(annotations: Path, images: Path, out: Path, split: str | None) -> None:
    """Turn COCO's instances into a folder of images and masks, for new-dataset.

    Polygons, RLE and crowds of an image become one mask: categories are 1, 2, ... in the order of their ids,
    0 is background, smaller instances lie on top. Needs the extra `coco`.
    """
    from icsd.commands.convert.coco import convert_coco as run

    run(annotations, images, out, split=split)


@_command(TYPED, example="convert-hf segments/sidewalk-semantic ~/photos")
@click.argument("source")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--image", help="Column of the images (default: the one whose name says so).")
@click.option("--mask", help="Column of the masks (default: the one whose name says so).")
def convert_hf(source: str, out: Path, image: str | None, mask: str | None) -> None:
    """Turn a data set of Hugging Face into a folder of images and masks, for new-dataset.

    SOURCE is a name on the hub, or a folder that the package `datasets` can load. Needs the extra `datasets`.
    """
    from icsd.commands.convert.hf import convert_hf as run

    run(source, out, image=image, mask=mask)


@_command(TYPED, example="tune kd aicsd")
@_methods
@click.option(
    "--trials", type=int, help="Students trained per method (default: tuning.trials in params.yaml)."
)
@click.option(
    "--student",
    help="A block of `networks.students` (default: the first of the grid).",
    shell_complete=_blocks("networks", "students"),
)
def tune(methods: tuple[str, ...], trials: int | None, student: str | None) -> None:
    """Tune the weights of every method with the same budget, on the validation split.

    METHOD is a block of `methods` in params.yaml; by default, every method of the grid that has weights.
    The results are configs/tuned/<dataset>.yaml and .csv, which `weights: tuned` in params.yaml puts to use.
    The data must be prepared and the teacher trained: `dvc repro train_teacher`. An interrupted search
    resumes.
    """
    from icsd.commands.tune.run import tune as run

    run(Path.cwd(), methods=methods, trials=trials, student=student)


@_command(TYPED, example="pace kd aicsd")
@_methods
@click.option(
    "--student",
    help="A block of `networks.students` (default: all of the grid).",
    shell_complete=_blocks("networks", "students"),
)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=15,
    show_default=True,
    help="Steps that are timed of each method, and of the student alone beside it.",
)
def pace(methods: tuple[str, ...], student: str | None, rounds: int) -> None:
    """Measure how long a training step takes with every method, for `train.budget: seconds`.

    METHOD is a block of `methods` in params.yaml; by default, every method of the grid that has a loss.
    The result is configs/pace/<dataset>.yaml: under equal seconds a method has the epochs that it leaves.
    The data must be prepared and the teacher trained: `dvc repro train_teacher`.
    """
    with uncollected():
        from icsd.commands.pace.run import pace as run

    run(Path.cwd(), methods=methods, student=student, rounds=rounds)


@_command(TYPED, example="worth kd aicsd --hours 2")
@_methods
@click.option(
    "--student",
    help="A block of `networks.students` (default: the first of the grid).",
    shell_complete=_blocks("networks", "students"),
)
@click.option(
    "--margin",
    type=click.FloatRange(0, 100),
    help="Points of mIoU that a gain must exceed (default: report.rope in params.yaml).",
)
@click.option(
    "--hours", type=click.FloatRange(0, min_open=True), help="Of training at most (default: no limit)."
)
@click.option("--max-seeds", type=int, default=20, show_default=True, help="At most so many, from 3 to 20.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Also write all of it as JSON.")
def worth(
    methods: tuple[str, ...],
    student: str | None,
    margin: float | None,
    hours: float | None,
    max_seeds: int,
    out: Path | None,
) -> None:
    """Say whether distilling is worth it on this dataset, and with which method.

    Trains the student alone and every METHOD (default: kd, aicsd, cwd, dist) for the same time, one seed
    after another, and compares them on the validation split until each gain is known to exceed the margin or
    not to. Prepares the data and trains the teacher first, where they are stale. An interrupted call goes on
    where it stopped. Exit code 0, whatever the answer.
    """
    from icsd.commands.worth.run import worth as run

    run(
        Path.cwd(),
        methods=methods,
        student=student,
        margin=margin,
        hours=hours,
        max_seeds=max_seeds,
        out=out,
    )


@_command(TYPED, example="verify --method kd --student resnet18 --seed 0")
@click.option("--method", help="`teacher`, or a method of the grid.", shell_complete=_blocks("methods"))
@click.option("--student", help="A network of the grid.", shell_complete=_blocks("networks", "students"))
@click.option("--seed", type=int, help="A seed of the grid.")
def verify(method: str | None, student: str | None, seed: int | None) -> None:
    """Check whether rows of the report still hold.

    Compares source files, parameters, data, teacher and weights with what training recorded, and the report
    with the results; then evaluates the stored network again and compares every number, to the last digit.
    Without options also checks DVC's cache and MLflow's store. Writes nothing.

    Exit code 0: all hold; 1: something differs; 2: something is missing.
    """
    from icsd.commands.verify.run import verify as run

    sys.exit(run(Path.cwd(), method=method, student=student, seed=seed))


_dataset = click.option(
    "--dataset", help="The preset it was trained with, for weights without a train.json beside them."
)
_device = click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto")


@_command(TYPED, example="predict runs/camvid/kd/resnet18-0 ~/photos --out masks --overlay")
@click.argument("model")
@click.argument("images", nargs=-1, required=True, metavar="IMAGES...")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The folder to write to.")
@click.option("--overlay", is_flag=True, help="Also the classes' colours on the images, in DIR/overlays.")
@click.option(
    "--probabilities", is_flag=True, help="Also every class's probability in 255ths, in DIR/probabilities."
)
@click.option("--tile", type=click.IntRange(32), help="Divide images into tiles of so many pixels a side.")
@click.option(
    "--overlap",
    type=click.FloatRange(0, 0.9),
    default=0.25,
    show_default=True,
    help="What neighbouring tiles have in common, as a part of their side.",
)
@click.option("--batch", type=click.IntRange(1), default=4, show_default=True, help="Images at a time.")
@_device
@_dataset
@click.option("-f", "--force", is_flag=True, help="Predict again what is there already.")
def predict(
    model: str,
    images: tuple[str, ...],
    out: Path,
    overlay: bool,
    probabilities: bool,
    tile: int | None,
    overlap: float,
    batch: int,
    device: str,
    dataset: str | None,
    force: bool,
) -> None:
    """Write the masks of images.

    MODEL is a run's folder (runs/...), a weights file, models:/name@alias, or an exported .onnx or .pt2.
    IMAGES are files, folders and patterns; they are read as in training. Masks are PNGs that hold class ids
    and show the classes' colours. What is finished already is skipped.

    Exit code 0: all are written; 1: some could not be read, and are named.
    """
    with uncollected():
        from icsd.commands.predict.run import predict_images
        from icsd.deployment.predicting import Tiling

    code = predict_images(
        Path.cwd(),
        model,
        images,
        out=out,
        overlay=overlay,
        probabilities=probabilities,
        tiling=Tiling(tile, overlap) if tile else None,
        batch=batch,
        device=device,
        dataset=dataset,
        force=force,
    )
    if code:
        sys.exit(code)


@_command(TYPED, example="export runs/camvid/kd/resnet18-0 --to onnx --out student.onnx")
@click.argument("model")
@click.option("--to", type=click.Choice(["onnx", "torch", "int8"]), required=True, help="The format.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="The file, .onnx, or .pt2 of torch."
)
@click.option("--with-preprocessing", is_flag=True, help="The file takes images as they are read.")
@click.option(
    "--images", multiple=True, help="Real images to check and calibrate on (default: the training split's)."
)
@click.option(
    "--calibration",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="How many images 8 bits are calibrated on.",
)
@_dataset
def export(
    model: str,
    to: Literal["onnx", "torch", "int8"],
    out: Path,
    with_preprocessing: bool,
    images: tuple[str, ...],
    calibration: int,
    dataset: str | None,
) -> None:
    """Write a network as a file for other programs: ONNX, torch.export, or ONNX in 8 bits.

    MODEL is a run's folder (runs/...), a weights file, or models:/name@alias. The file takes any number of
    images of any size, and holds the classes, their colours and how images become its input. It is read
    again and compared with the network on real images of three sizes, and kept only if it computes the same.
    Needs the extra `deploy`, but for torch.
    """
    with uncollected():
        from icsd.commands.export.run import export as run

    run(
        Path.cwd(),
        model,
        to=to,
        out=out,
        with_preprocessing=with_preprocessing,
        images=images,
        calibration=calibration,
        dataset=dataset,
    )


@_command(TYPED, example="evaluate-file student.onnx")
@click.argument("model")
@click.option("--images", help="A folder of images (default: the reported split).")
@click.option(
    "--masks", type=click.Path(path_type=Path), help="The folder of their masks, of the same names."
)
@click.option(
    "--ignore", type=click.IntRange(0, 255), multiple=True, help="A number in masks that does not count."
)
@_device
@_dataset
def evaluate_file(
    model: str,
    images: str | None,
    masks: Path | None,
    ignore: tuple[int, ...],
    device: str,
    dataset: str | None,
) -> None:
    """Measure a network or an exported file: mIoU with its interval, by class, beside its run.

    MODEL is what `predict` takes. Masks hold class ids, or the classes' colours; 255 never counts.
    """
    with uncollected():
        from icsd.commands.evaluate_file.run import evaluate_file as run

    run(Path.cwd(), model, images=images, masks=masks, ignored=ignore, device=device, dataset=dataset)


@_command(TYPED, example="bench runs/camvid/kd/resnet18-0 --size 360x480")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--size", multiple=True, metavar="HxW", help="Of images as the network sees them.")
@click.option(
    "--threads", type=click.IntRange(1), multiple=True, help="Of the CPU (default: 1, and one per core)."
)
@click.option(
    "--form",
    type=click.Choice(["eager", "compiled", "onnx", "int8"]),
    multiple=True,
    help="Of a network (default: all).",
)
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Images at a time.")
@click.option(
    "--seconds",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    help="At most for each line of the table, beyond a first round.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Also write the table: .md, .csv or .json, by its name."
)
@_device
@_dataset
def bench(
    models: tuple[str, ...],
    size: tuple[str, ...],
    threads: tuple[int, ...],
    form: tuple[Literal["eager", "compiled", "onnx", "int8"], ...],
    batch: int,
    seconds: float,
    out: Path | None,
    device: str,
    dataset: str | None,
) -> None:
    """Measure latency, throughput, peak memory and file size, in every form of a network.

    MODEL is what `predict` takes. A network is measured as it is, compiled, and exported to ONNX in 32 and 8
    bits; an exported file as it is. All take turns, so that other work on the machine hits all alike. Sizes
    are by default the crop that the dataset's preset names, and prepared images' usual size. CUDA is measured
    where there is one. Needs the extra `deploy`, but for `--form eager` and `compiled`.
    """
    with uncollected():
        from icsd.commands.bench.run import bench as run

    run(
        Path.cwd(),
        models,
        sizes=size,
        threads=threads,
        kinds=form,
        batch=batch,
        seconds=seconds,
        device=device,
        dataset=dataset,
        out=out,
    )


@_command(TYPED, example="experiments kd aicsd")
@_methods
@click.option("--all-commits", is_flag=True, help="Experiments of all commits, not only of the current one.")
@click.option("--csv", "as_csv", is_flag=True, help="One row per experiment, network and method, as CSV.")
def experiments(methods: tuple[str, ...], all_commits: bool, as_csv: bool) -> None:
    """Compare experiments: what each changed, and every METHOD's mIoU and gain.

    Reads `dvc exp show`, whose own table has a column for every parameter and dependency. Changed
    parameters are those that differ from the commit that the experiment started from.
    """
    from icsd.commands.experiments.run import show_experiments

    table = show_experiments(Path.cwd(), methods=methods or None, all_commits=all_commits, as_csv=as_csv)
    click.echo(table, nl=False)


@_command(TYPED, example="repair")
def repair() -> None:
    """Mend what a killed `dvc` left behind, so that it runs again.

    DVC writes two of its own files in place. A kill at that moment leaves them cut off, and DVC then refuses
    every command with "JSON structure is corrupted", "'./dvc.lock' is invalid" or "'./dvc.lock' validation
    failed". They are mended if no other `dvc` is running in this repository, and nothing that was finished
    runs again.
    """
    from icsd.commands.repair import repair as run

    for line in run(Path.cwd()):
        click.echo(line)


@_command(TYPED, example="deliver")
def deliver() -> None:
    """Send to MLflow what has not arrived, however long it takes.

    Stages wait only seconds for a slow server; their records are kept in .state and sent by later stages, or
    by this. Exit code 0: everything has arrived; 1: something still waits.
    """
    from icsd.commands.deliver import deliver as run

    if left := run(Path.cwd()):
        click.echo(left)
        sys.exit(1)
    click.echo("MLflow has everything")


@_command(SHELL, example="completion bash")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what defines the alias `icsd` for this entry, with completion.

    In ~/.bashrc: eval "$(python -m pipeline completion bash)"; in ~/.zshrc the same with zsh; in fish:
    python -m pipeline completion fish | source
    """
    kind = get_completion_class(shell)
    assert kind is not None
    source = kind(cli, {}, _ALIAS, _COMPLETE).source()
    invoked = {"bash": "_complete $1)", "zsh": f"_complete {_ALIAS})", "fish": f" {_ALIAS})"}[shell]
    replaced = invoked.replace("$1", PROGRAM).replace(f" {_ALIAS})", f" {PROGRAM})")
    assert invoked in source
    alias = (
        f"function {_ALIAS}; {PROGRAM} $argv; end" if shell == "fish" else f'{_ALIAS}() {{ {PROGRAM} "$@"; }}'
    )
    click.echo(f"{alias}\n{source.replace(invoked, replaced)}")


def main() -> None:
    """Run the command that the arguments name; every failure ends as a message."""
    if sys.argv[1:2] == ["--forks"]:  # of `run`: goes on from here in every process that is forked from this
        from icsd.commands.run.template import serve

        with uncollected():
            serve(int(sys.argv[2]), sys.argv[3:])
    with failures_as_messages():
        if _COMPLETE in os.environ:
            cli.main(prog_name=_ALIAS, complete_var=_COMPLETE)
        end_with_parent()
        cli.main(prog_name=PROGRAM, standalone_mode=False)
