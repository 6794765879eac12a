"""All commands. Each imports what it needs only when it runs, so that ``--help`` is fast."""

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click
from click.shell_completion import CompletionItem, get_completion_class

from icsd.importing import lasting, uncollected
from pipeline.failures import failures_as_messages
from pipeline.groups import SectionedGroup
from pipeline.numbers import FiniteRange
from pipeline.parent import end_with_parent
from pipeline.paths import NamedPath

PROGRAM = "python -m pipeline"
STAGES = "Stages of the pipeline, in order (see dvc.yaml)"
TYPED = "Tools"
SHELL = "Shell completion"
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
    """Distil a large segmentation network into a small one, and compare distillation methods.

    `python -m pipeline run` runs everything that is out of date; `dvc repro` does the same, one stage at a
    time. The commands below are the stages of this pipeline, and tools that you run yourself.
    """


def _command(section: str, *, example: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Add a function as a command to a section; its help ends with an example."""

    def add(function: Callable[..., Any]) -> click.Command:
        command = click.command(epilog=f"Example: {PROGRAM} {example}")(function)
        cli.add(section, command)
        return command

    return add


def _blocks(*path: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Shell completion with the keys of a block of params.yaml."""

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from icsd.yaml_files import read_yaml

        try:
            block: Any = read_yaml(Path.cwd() / "params.yaml")
            for key in path:
                block = block[key]
            return [CompletionItem(name) for name in block if name.startswith(incomplete)]
        except (ValueError, KeyError, TypeError):
            return []  # completion must not fail

    return complete


_methods = click.argument("methods", nargs=-1, metavar="[METHOD]...", shell_complete=_blocks("methods"))


@_command(STAGES, example="validate --show")
@click.option(
    "--show",
    is_flag=True,
    help="Print the resolved parameters: the preset with the changes from params.yaml.",
)
def validate(show: bool) -> None:
    """Check params.yaml and the dataset's preset, and list every mistake."""
    from icsd.commands.foresight import foresight
    from icsd.stages.validate import validate as run

    run(Path.cwd(), show=show)
    if note := foresight(Path.cwd()):
        click.echo(note, err=True)
    _tell_of_slow_precision()


def _tell_of_slow_precision() -> None:
    from icsd.commands.foresight import slow_precision

    if note := slow_precision(Path.cwd()):
        click.echo(note, err=True)


@_command(STAGES, example="download")
def download() -> None:
    """Fetch and verify the dataset's archives, from a URL, a local archive or a folder."""
    from icsd.stages.download import download as run

    run(Path.cwd())


@_command(STAGES, example="preprocess")
def preprocess() -> None:
    """Map labels to train ids, write shards, and check the data (the doctor)."""
    from icsd.stages.preprocess import preprocess as run

    run(Path.cwd())


@_command(STAGES, example="train-teacher")
def train_teacher() -> None:
    """Train the teacher.

    An interrupted run resumes after its last finished epoch.
    """
    with lasting():
        from icsd.stages.training.run import train_teacher as run

    _tell_of_slow_precision()
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
    "--seed", required=True, type=int, help="Seed of the initial weights, image order and augmentation."
)
def train_student(method: str, student: str, seed: int) -> None:
    """Train one student with one method.

    An interrupted run resumes after its last finished epoch.
    """
    with lasting():
        from icsd.stages.training.run import train_student as run

    _tell_of_slow_precision()
    run(Path.cwd(), method=method, student=student, seed=seed)


@_command(STAGES, example="evaluate --method aicsd")
@click.option(
    "--method",
    required=True,
    help="`teacher`, or a method of the grid in params.yaml.",
    shell_complete=_blocks("methods"),
)
def evaluate(method: str) -> None:
    """Evaluate the teacher, or all students of a method, on the reported split."""
    with lasting():
        from icsd.stages.evaluation.run import evaluate_students, evaluate_teacher

    if method == "teacher":
        evaluate_teacher(Path.cwd())
    else:
        evaluate_students(Path.cwd(), method=method)


@_command(STAGES, example="deploy")
def deploy() -> None:
    """Export the champion of every student to deploy.formats, and evaluate the files."""
    with lasting():
        from icsd.stages.deploy.run import deploy as run

    run(Path.cwd())


@_command(STAGES, example="report")
def report() -> None:
    """Write tables, figures and report.html, and the summary of this execution in MLflow."""
    with lasting():
        from icsd.stages.report import report as run

    run(Path.cwd())


@_command(TYPED, example="run -j 2")
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1),
    help="Number of stages at a time (default: one per core, or per GPU).",
)
@click.option("--gpus", help="GPU numbers, for example 0,1; each stage gets one.")
@click.option("--per-gpu", type=click.IntRange(1), default=1, help="Number of stages at a time on each GPU.")
@click.option(
    "-k", "--keep-going", is_flag=True, help="After a failure, still run stages that do not depend on it."
)
@click.option("-f", "--force", is_flag=True, help="Also run stages that are up to date.")
@click.option("--pull", is_flag=True, help="Fetch results that are already in DVC's remote.")
@click.option("--downstream", is_flag=True, help="Run the targets and everything that depends on them.")
@click.option("--dry", is_flag=True, help="Only print what would run.")
@click.option(
    "--on", type=click.Choice(["ray", "slurm"]), help="Train and evaluate on a Ray or SLURM cluster."
)
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
    """Run everything that is out of date, like `dvc repro`, but several stages at a time.

    TARGET is a stage of dvc.yaml, which is run together with the stages that it depends on; by default, all
    stages are run. The outcome is that of `dvc repro`, and you can alternate between the two. Ctrl-C stops
    the running stages; the same command resumes.
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
@click.argument("folder", type=NamedPath(), metavar="DIR")
@click.option("--name", help="Name of the preset (default: the name of the folder).")
@click.option("--yes", is_flag=True, help="Ask nothing: use the defaults, and print them.")
@click.option("--force", is_flag=True, help="Replace an existing preset of this name.")
def new_dataset(folder: Path, name: str | None, yes: bool, force: bool) -> None:
    """Write the preset for a folder of images and masks, inferred from its contents.

    Finds images and masks, splits, classes and their shares, ignored values, image sizes and suitable
    settings, and writes configs/datasets/NAME.yaml with comments that say what each value was inferred from.
    Then the doctor checks the data. DIR is only read.
    """
    from icsd.commands.new_dataset.run import new_dataset as run

    run(Path.cwd(), folder, name=name, ask=not yes and sys.stdin.isatty(), force=force)


@_command(TYPED, example="convert-coco instances.json images ~/photos")
@click.argument("annotations", type=NamedPath())
@click.argument("images", type=NamedPath())
@click.argument("out", type=NamedPath())
@click.option("--split", help="train, val or test: write to a subfolder of OUT; run once per split.")
def convert_coco(annotations: Path, images: Path, out: Path, split: str | None) -> None:
    """Convert COCO instance annotations to a folder of images and masks, for new-dataset.

    Polygons, RLE masks and crowds of an image become one mask: categories are 1, 2, ... in the order of their
    ids, 0 is background, and smaller instances are drawn over larger ones. Needs the extra `coco`.
    """
    from icsd.commands.convert.coco import convert_coco as run

    run(annotations, images, out, split=split)


@_command(TYPED, example="convert-hf segments/sidewalk-semantic ~/photos")
@click.argument("source")
@click.argument("out", type=NamedPath())
@click.option("--image", help="Column with the images (default: recognised by its name).")
@click.option("--mask", help="Column with the masks (default: recognised by its name).")
def convert_hf(source: str, out: Path, image: str | None, mask: str | None) -> None:
    """Convert a Hugging Face dataset to a folder of images and masks, for new-dataset.

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
    """Tune the loss weights of every method with the same budget, on the validation split.

    METHOD is a block of `methods` in params.yaml; by default, every method of the grid that has weights.
    Results are written to configs/tuned/<dataset>.yaml and .csv; set `weights: tuned` in params.yaml to train
    with them. Prepare the data and train the teacher first: `dvc repro train_teacher`. An interrupted search
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
    help="Steps to time per method, each next to a step of the student alone.",
)
def pace(methods: tuple[str, ...], student: str | None, rounds: int) -> None:
    """Measure the duration of a training step with every method, for `train.budget: seconds`.

    METHOD is a block of `methods` in params.yaml; by default, every method of the grid that has a loss.
    The result is written to configs/pace/<dataset>.yaml. With `train.budget: seconds`, it determines for how
    many epochs each method trains. Prepare the data and train the teacher first: `dvc repro train_teacher`.
    """
    with lasting():
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
    type=FiniteRange(0, 100),
    help="Points of mIoU that a gain must exceed (default: report.rope in params.yaml).",
)
@click.option(
    "--hours", type=FiniteRange(0, min_open=True), help="Limit on the training time (default: none)."
)
@click.option(
    "--max-seeds", type=int, default=20, show_default=True, help="Limit on the number of seeds, 3 to 20."
)
@click.option("--out", type=NamedPath(dir_okay=False), help="Also write everything as JSON.")
def worth(
    methods: tuple[str, ...],
    student: str | None,
    margin: float | None,
    hours: float | None,
    max_seeds: int,
    out: Path | None,
) -> None:
    """Say whether distillation is worth it on this dataset, and with which method.

    Trains the student alone and every METHOD (default: kd, aicsd, cwd, dist) for the same time, one seed
    after another, and compares them on the validation split until it is clear for each method whether its
    gain exceeds the margin. Prepares the data and trains the teacher first if they are out of date. After an
    interruption, the same command resumes. The exit code is 0, whatever the answer.
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
    """Check whether the results in the report still hold.

    Compares source files, parameters, data, teacher and weights with those recorded in training, and the
    report with the results; then evaluates the stored networks again and compares every number to the last
    digit. Without options, also checks DVC's cache and MLflow's store. Writes nothing.

    Exit code 0: everything holds; 1: something differs; 2: something is missing.
    """
    from icsd.commands.verify.run import verify as run

    sys.exit(run(Path.cwd(), method=method, student=student, seed=seed))


_dataset = click.option(
    "--dataset", help="The preset it was trained with, for weights without a train.json next to them."
)
_device = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="auto: CUDA if available."
)


@_command(TYPED, example="predict runs/camvid/kd/resnet18-0 ~/photos --out masks --overlay")
@click.argument("model")
@click.argument("images", nargs=-1, required=True, metavar="IMAGES...")
@click.option("--out", type=NamedPath(), required=True, help="The output folder DIR.")
@click.option(
    "--overlay", is_flag=True, help="Also write images with the class colours blended in, to DIR/overlays."
)
@click.option(
    "--probabilities",
    is_flag=True,
    help="Also write the probability of every class, as uint8, to DIR/probabilities.",
)
@click.option("--tile", type=click.IntRange(32), help="Divide images into tiles of this many pixels a side.")
@click.option(
    "--overlap",
    type=FiniteRange(0, 0.9),
    default=0.25,
    show_default=True,
    help="Overlap of neighbouring tiles, as a fraction of their side.",
)
@click.option("--batch", type=click.IntRange(1), default=4, show_default=True, help="Images at a time.")
@_device
@_dataset
@click.option("-f", "--force", is_flag=True, help="Predict again, and replace existing files.")
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
    """Write masks for images.

    MODEL is the folder of a run (runs/...), a weights file, models:/name@alias, or an exported .onnx or .pt2.
    IMAGES are files, folders or patterns; they are read as in training. Masks are PNG files that contain
    class ids and are displayed in the class colours. Existing masks are skipped.

    Exit code 0: all masks were written; 1: some images could not be read, and are listed.
    """
    with lasting():
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
    "--out",
    type=NamedPath(dir_okay=False),
    required=True,
    help="The output file: .onnx, or .pt2 for torch.",
)
@click.option("--with-preprocessing", is_flag=True, help="The file takes images as they are read.")
@click.option(
    "--images", multiple=True, help="Real images for checking and calibration (default: the training split)."
)
@click.option(
    "--calibration",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="Number of images to calibrate int8 on.",
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
    """Export a network for other programs: ONNX, torch.export, or int8 ONNX.

    MODEL is the folder of a run (runs/...), a weights file, or models:/name@alias. The file takes any number
    of images of any size, and contains the classes, their colours and the preprocessing settings. It is
    loaded again and compared with the network on real images of three sizes, and kept only if the outputs
    agree (int8: the agreement is printed). Formats other than torch need the extra `deploy`.
    """
    with lasting():
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
@click.option("--masks", type=NamedPath(), help="The folder of their masks, with the same names.")
@click.option("--ignore", type=click.IntRange(0, 255), multiple=True, help="A value in masks to ignore.")
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
    """Evaluate a network or an exported file: mIoU with interval, and IoU per class.

    The scores are shown next to those of the run that the weights come from. MODEL is as for `predict`. Masks
    contain class ids or class colours; 255 is always ignored.
    """
    with lasting():
        from icsd.commands.evaluate_file.run import evaluate_file as run

    run(Path.cwd(), model, images=images, masks=masks, ignored=ignore, device=device, dataset=dataset)


@_command(TYPED, example="bench runs/camvid/kd/resnet18-0 --size 360x480")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--size", multiple=True, metavar="HxW", help="Image size as the network sees it.")
@click.option(
    "--threads", type=click.IntRange(1), multiple=True, help="CPU threads (default: 1, and one per core)."
)
@click.option(
    "--form",
    type=click.Choice(["eager", "compiled", "onnx", "int8"]),
    multiple=True,
    help="Form of the network (default: all).",
)
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Images at a time.")
@click.option(
    "--seconds",
    type=FiniteRange(0),
    default=10.0,
    show_default=True,
    help="Time limit for each row of the table, beyond a first round.",
)
@click.option(
    "--out",
    type=NamedPath(dir_okay=False),
    help="Also write the table, as .md, .csv or .json.",
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
    """Measure latency, throughput, peak memory and file size of a network in every form.

    MODEL is as for `predict`. A network is measured as it is (eager), compiled, and exported to ONNX in 32
    and 8 bits; an exported file is measured as it is. All forms take turns, so that other load on the machine
    affects them alike. Default sizes are the training crop of the preset and the most common size of the
    prepared images. CUDA is measured if available. Forms other than eager and compiled need the extra
    `deploy`.
    """
    with lasting():
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
@click.option(
    "--all-commits", is_flag=True, help="List experiments of all commits, not only of the current one."
)
@click.option("--csv", "as_csv", is_flag=True, help="One row per experiment, network and method, as CSV.")
def experiments(methods: tuple[str, ...], all_commits: bool, as_csv: bool) -> None:
    """Compare experiments: what each changed, and the mIoU and gain of every METHOD.

    Reads `dvc exp show`, whose own table has a column for every parameter and dependency. Changed parameters
    are those that differ from the commit that the experiment started from.
    """
    from icsd.commands.experiments.run import show_experiments

    table = show_experiments(Path.cwd(), methods=methods or None, all_commits=all_commits, as_csv=as_csv)
    click.echo(table, nl=False)


@_command(TYPED, example="repair")
def repair() -> None:
    """Repair DVC's own files after `dvc` was killed, so that it runs again.

    DVC writes two of its files in place. If it is killed at that moment, they are truncated, and every later
    command fails with "JSON structure is corrupted", "'./dvc.lock' is invalid" or "'./dvc.lock' validation
    failed". This command repairs them if no other `dvc` is running in this repository; nothing that was
    finished runs again.
    """
    from icsd.commands.repair import repair as run

    for line in run(Path.cwd()):
        click.echo(line)


@_command(TYPED, example="deliver")
def deliver() -> None:
    """Send the records that MLflow has not received yet, however long it takes.

    Stages wait only seconds for a slow server; undelivered records are kept in .state and sent by later
    stages, or by this command.

    Exit code 0: everything was delivered; 1: something is still waiting.
    """
    from icsd.commands.deliver import deliver as run

    if left := run(Path.cwd()):
        click.echo(left)
        sys.exit(1)
    click.echo("MLflow has everything")


@_command(SHELL, example="completion bash")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the definition of an alias `icsd` for these commands, with completion.

    In ~/.bashrc, add: eval "$(python -m pipeline completion bash)"; in ~/.zshrc, the same with zsh; in fish:
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


def _show_every_character() -> None:
    """Escape characters that cannot be printed, such as those of odd file names, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def main() -> None:
    """Run the command given by the arguments; every failure ends in a message."""
    _show_every_character()
    if sys.argv[1:2] == ["--forks"]:  # started by `run`: forked processes continue below
        from icsd.commands.run.template import serve

        with uncollected():
            serve(int(sys.argv[2]), sys.argv[3:])
    with failures_as_messages():
        if _COMPLETE in os.environ:
            cli.main(prog_name=_ALIAS, complete_var=_COMPLETE)
        end_with_parent()
        cli.main(prog_name=PROGRAM, standalone_mode=False)
