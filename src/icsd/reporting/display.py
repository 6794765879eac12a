"""Data frames -> tables as people read them: rounded texts, symbols, and notes on what they mean."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from icsd.reporting.cells import GAP, Cell, Display, missing, number, span, spread
from icsd.reporting.style import MANY, method_label, network_label
from icsd.runs import TEACHER

__all__ = ["GAP", "Cell", "Display"]

Row = dict[str, Any]
Column = tuple[str, Callable[[Row], Cell]]
Columns = Sequence[Column]


def show_comparison(table: pd.DataFrame) -> Display:
    """The comparison of methods."""
    columns: list[Column] = [
        ("Network", _network),
        ("Method", _method),
        ("mIoU %", lambda row: spread(row["miou_mean"], row["miou_std"])),
        ("95 % interval", lambda row: span(row["miou_low"], row["miou_high"])),
        ("n", _num_seeds),
        ("Group", _group),
        ("Δ alone", lambda row: spread(row["delta_mean"], row["delta_std"], signed=True)),
        ("95 % interval of Δ", lambda row: span(row["delta_low"], row["delta_high"], signed=True)),
        ("p (Holm)", _p),
    ]
    if table["kd_delta_mean"].notna().any():
        columns += [
            ("Δ KD", lambda row: spread(row["kd_delta_mean"], row["kd_delta_std"], signed=True)),
            (
                "95 % interval of Δ KD",
                lambda row: span(row["kd_delta_low"], row["kd_delta_high"], signed=True),
            ),
            ("p (Holm) KD", lambda row: _p(row, "kd_")),
        ]
    if table["published_miou"].notna().any():
        columns += [
            ("Published mIoU %", lambda row: spread(row["published_miou"], row["published_std"])),
            ("Published Δ", lambda row: number(row["published_delta"], "+.2f")),
        ]
    columns += [
        ("Pixel acc. %", lambda row: number(row["pixel_accuracy"], ".2f")),
        ("Class acc. %", lambda row: number(row["class_accuracy"], ".2f")),
        ("Agreement %", lambda row: number(row["agreement_pixels"], ".2f")),
        ("KL", lambda row: number(row["agreement_kl"], ".4f")),
        ("ICS distance", lambda row: number(row["agreement_ics_distance"], ".4f")),
        ("Parameters", lambda row: number(row["parameters"], ",d")),
    ]
    return _display("comparison", "Comparison", table, columns, _comparison_notes(table))


def show_contrasts(table: pd.DataFrame) -> Display:
    """One method minus each other."""
    columns: Columns = [
        ("Network", _network),
        ("Difference", lambda row: Cell(f"{method_label(row['method'])} − {method_label(row['reference'])}")),
        ("Δ mIoU", lambda row: spread(row["delta_mean"], row["delta_std"], signed=True)),
        ("95 % interval", lambda row: span(row["delta_low"], row["delta_high"], signed=True)),
        ("n", lambda row: number(row["n_pairs"], "d") if row["n_pairs"] else Cell(GAP)),
        ("p (Holm)", _p),
    ]
    return _display(
        "contrasts", "Differences between methods", table, columns, ["Percentage points, paired by seed."]
    )


def show_ablation(table: pd.DataFrame) -> Display:
    """ICSD's family: what differs between its members, and what they reach."""
    columns: list[Column] = [
        ("Network", _network),
        ("Method", _method),
        ("Variant", lambda row: _text(row["variant"])),
        ("Rows", lambda row: _text(row["rows"])),
        ("ICSD weight", lambda row: number(row["icsd_weight"], "g")),
        ("KD weight", lambda row: number(row["kd_weight"], "g")),
        ("ALW decay", lambda row: _text(row["alw_decay"])),
        ("ALW scope", lambda row: _text(row["alw_scope"])),
        ("mIoU %", lambda row: spread(row["miou_mean"], row["miou_std"])),
        ("n", _num_seeds),
        ("Δ alone", lambda row: spread(row["delta_mean"], row["delta_std"], signed=True)),
    ]
    if table["kd_delta_mean"].notna().any():
        columns.append(("Δ KD", lambda row: spread(row["kd_delta_mean"], row["kd_delta_std"], signed=True)))
    notes = [
        "Variant: ICSD as the paper defines it, or what its authors released. Rows: of the similarity "
        "matrices, raw or L2-normalised. –: the method has no such part.",
        "Mean ± standard deviation over n seeds; intervals and tests of these differences stand in the "
        "comparison.",
    ]
    return _display("ablation", "What each part of AICSD is worth", table, columns, notes)


def show_methods(table: pd.DataFrame) -> Display:
    """What each method is made of."""
    columns: list[Column] = [
        ("Method", _method),
        ("Class", lambda row: _text(row["class"])),
        ("Terms × weights", lambda row: _text(row["terms"])),
        ("Options", lambda row: _text(row["options"])),
        ("ALW", lambda row: _text(row["alw"])),
        ("Weights", lambda row: _text(row["weights_source"])),
    ]
    notes = [
        "Terms beside cross-entropy, each × its weight; unweighted losses as in the class's file.",
        "Weights: published (converted to this project's normalisation), tuned on the validation split with "
        "the same number of trials for each method, or set by hand.",
    ]
    return _display("methods", "Methods", table, columns, notes, num_labels=len(columns))


def show_per_class(table: pd.DataFrame) -> Display:
    """Classes down and methods across, one block per student; turned where the methods are many."""
    students = table[table["method"] != TEACHER]
    methods = list(students["method"].unique())
    if len(methods) > MANY:
        return _per_class_of_many(table)
    teacher = table[table["method"] == TEACHER].set_index("class")["iou_mean"]
    rows = []
    for (student, name), group in students.groupby(["student", "class"], sort=False):
        cells = group.set_index("method")
        rows.append(
            (
                Cell(network_label(str(student))),
                Cell(str(name)),
                number(teacher.get(name), ".1f"),
                *(
                    spread(cells["iou_mean"].get(each), cells["iou_std"].get(each), digits=1)
                    for each in methods
                ),
            )
        )
    headers = ("Network", "Class", "Teacher", *(method_label(method) for method in methods))
    return Display("per_class", "IoU per class", headers, tuple(rows), _PER_CLASS_NOTES)


def _per_class_of_many(table: pd.DataFrame) -> Display:
    classes = list(table["class"].unique())
    rows = []
    for (student, method), group in table.groupby(["student", "method"], sort=False):
        cells = group.set_index("class")
        scores = (
            spread(cells["iou_mean"].get(name), cells["iou_std"].get(name), digits=1) for name in classes
        )
        rows.append((Cell(network_label(str(student))), Cell(method_label(str(method))), *scores))
    headers = ("Network", "Method", *(str(name) for name in classes))
    return Display("per_class", "IoU per class", headers, tuple(rows), _PER_CLASS_NOTES)


def show_cost(table: pd.DataFrame) -> Display:
    """What training and the networks cost."""
    columns: Columns = [
        ("Network", _network),
        ("Method", _method),
        ("Runs", lambda row: number(row["n_runs"], "d") if row["n_runs"] else Cell(GAP)),
        ("s / epoch", lambda row: number(row["seconds_per_epoch"], ",.2f")),
        ("× alone", lambda row: number(row["relative_time"], ".2f")),
        ("Training min", lambda row: number(row["minutes_training"], ",.1f")),
        ("Images / s", lambda row: number(row["images_per_second"], ",.1f")),
        ("Peak memory MB", lambda row: number(row["peak_memory_mb"], ",.0f")),
        ("Extra parameters", lambda row: number(row["extra_parameters"], ",d")),
        ("Parameters", lambda row: number(row["parameters"], ",d")),
        ("GFLOPs", lambda row: number(row["flops"] / 1e9 if pd.notna(row["flops"]) else None, ",.3f")),
        ("Device", lambda row: _text(row["device"])),
    ]
    notes = [
        "Means over seeds; measured on the machine of the run, so never the same twice.",
        "Extra parameters: adapters that train with the student and are not part of it.",
        "GFLOPs: one forward pass at the evaluation's input size.",
    ]
    return _display("cost", "Cost", table, columns, notes)


def show_health(table: pd.DataFrame) -> Display:
    """What each loss term did to the student."""
    columns: Columns = [
        ("Network", _network),
        ("Method", _method),
        ("Term", lambda row: Cell(row["term"])),
        ("Share %", lambda row: number(row["share_mean"], ".1f")),
        ("Least", lambda row: number(row["share_min"], ".1f")),
        ("Most", lambda row: number(row["share_max"], ".1f")),
        ("Cosine with CE", lambda row: number(row["cosine_mean"], "+.2f")),
        ("Remark", lambda row: Cell(row["remark"] or GAP)),
    ]
    notes = [
        "Share: norm of the weighted term's gradient for the student's parameters, of the sum of these "
        "norms; measured on a few steps of every epoch: mean over epochs and seeds, least and most by epoch.",
        "Cosine: between the term's gradient and that of cross-entropy; negative where they pull apart.",
        "A term with less than 1 % does nothing, and a comparison of its method says nothing about it; with "
        "more than 90 % the labels hardly count. Weights are found with python -m pipeline tune.",
    ]
    shown = _display("health", "What each loss term did", table, columns, notes, num_labels=3)
    return replace(shown, text_columns=("Remark",))


def show_published(table: pd.DataFrame) -> Display:
    """Published values of a dataset, comparable or not."""
    columns: Columns = [
        ("Student", lambda row: Cell(f"{network_label(row['student'])} ({row['architecture']})")),
        ("Method", _method_and_variant),
        ("Metric", lambda row: Cell("mIoU" if row["metric"] == "miou" else "class accuracy")),
        ("%", lambda row: spread(row["mean"], row["std"])),
        ("Gain", lambda row: number(row["gain"], "+.2f")),
        ("Protocol", lambda row: Cell(row["protocol"])),
        ("Different here", lambda row: _text(row["deviations"])),
        ("Source", lambda row: Cell(row["source"])),
    ]
    return _display("published", "Published on this dataset", table, columns, [])


def show_provenance(table: pd.DataFrame) -> Display:
    """Where each row comes from; the first run of a method is what other tables link to."""
    headers = [str(name).replace("_", " ") for name in table.columns]
    first = ~table.duplicated(["student", "method"])
    ids = tuple(
        run_id(row["student"], row["method"]) if is_first else None
        for row, is_first in zip(table.to_dict("records"), first, strict=True)
    )
    notes = (
        "A run in MLflow: search its list for attributes.run_id = '…' (README, MLflow). Is a row still what "
        "it was made of? python -m pipeline verify --method … --student … --seed …",
        "The digests of code, data and teacher are in runs/<dataset>/<run>/train.json.",
    )
    shown = show_texts("provenance", "Provenance", table, headers, len(headers))
    return replace(shown, ids=ids, notes=notes)


def run_id(student: str, method: str) -> str:
    """Id of the first run of a method in report.html."""
    return f"run-{student}-{method}"


def show_texts(
    name: str, title: str, table: pd.DataFrame, headers: Sequence[str], num_labels: int
) -> Display:
    """A table of texts as they are."""
    records = table.astype(object).where(table.notna(), GAP).to_dict("records")
    rows = tuple(tuple(Cell(str(value)) for value in record.values()) for record in records)
    return Display(name, title, tuple(headers), rows, num_labels=num_labels)


def _display(
    name: str,
    title: str,
    table: pd.DataFrame,
    columns: Columns,
    notes: Sequence[str],
    *,
    num_labels: int = 2,
) -> Display:
    records = table.to_dict("records")
    rows = tuple(
        tuple(show({str(key): value for key, value in row.items()}) for _, show in columns) for row in records
    )
    return Display(name, title, tuple(header for header, _ in columns), rows, tuple(notes), num_labels)


_PER_CLASS_NOTES = ("IoU in percent, mean ± standard deviation over seeds; –: class absent or run missing.",)


def _comparison_notes(table: pd.DataFrame) -> list[str]:
    notes = [
        "mIoU: mean ± standard deviation over n seeds; every seed is a training of its own.",
        "Δ alone, Δ KD: difference to the same student trained alone or with KD, paired by seed, in "
        "percentage points.",
        "p: paired t-test over seeds, Holm-corrected for the number of methods; it sees training noise only.",
        "Group: methods that share a letter are not told apart by any test (paired t-test of every two "
        "methods of a student, Holm-corrected for the number of pairs, level 5 %); a is the group of the "
        "highest mean. Not told apart is not the same as equal: few seeds tell little apart, and with many "
        "pairs the correction is stricter than for the differences to one method.",
        *_interval_notes(table),
        "Agreement, KL, ICS distance: pixels on which student and teacher predict the same class, pixel-wise "
        "KL(teacher ‖ student), and distance between their inter-class similarity matrices.",
    ]
    return [*notes, *_published_notes(table)]


def _published_notes(table: pd.DataFrame) -> list[str]:
    """Where the published values are from, and what was different there."""
    known = table.dropna(subset=["published_source"])
    notes = [f"Published: {source}." for source in known["published_source"].unique()]
    for text, rows in known.groupby("published_deviations", sort=False):
        methods = ", ".join(dict.fromkeys(method_label(name) for name in rows["method"]))
        notes.append(f"Different in the published protocol ({methods}): {text}.")
    return notes


def _interval_notes(table: pd.DataFrame) -> list[str]:
    kinds = set(table.loc[table["method"] != TEACHER, "interval_over"].dropna())
    notes = []
    if "images and seeds" in kinds:
        notes.append(
            "95 % interval: bootstrap over seeds and images from per-image confusion matrices, images taken "
            "as independent; Student's t for the few seeds, so with two of them it is wide. It is about "
            "other trainings and other test images; for the teacher, which is one training, over images only."
        )
    if "images" in kinds:
        notes.append(
            "n = 1: no inference is possible. No standard deviation, no test, no groups; the 95 % interval "
            "(bootstrap of per-image confusion matrices) is over images only: training noise is not in it, "
            "and one training does not tell methods apart."
        )
    return notes


def _network(row: Row) -> Cell:
    return Cell(network_label(row["student"]))


def _method(row: Row) -> Cell:
    """The method, with a link to where its runs and their digests stand."""
    link = run_id(row["student"], row["method"]) if "student" in row else None
    return Cell(method_label(row["method"]), link=link)


def _method_and_variant(row: Row) -> Cell:
    variant = "" if missing(row["variant"]) else f", {row['variant']}"
    return Cell(f"{method_label(row['method'])}{variant}")


def _num_seeds(row: Row) -> Cell:
    return number(row["n_seeds"], "d") if row["n_seeds"] else Cell(GAP)


def _group(row: Row) -> Cell:
    if row["method"] == TEACHER or not row["n_seeds"]:
        return Cell(GAP)
    return Cell("not testable" if missing(row["group"]) else row["group"])


def _p(row: Row, prefix: str = "") -> Cell:
    if missing(row[f"{prefix}delta_mean"]):
        return Cell(GAP)
    if row[f"{prefix}n_pairs"] == 1:
        return Cell("n = 1, no inference")
    p = row[f"{prefix}p_holm"]
    return Cell(GAP) if missing(p) else Cell("< 0.001" if p < 0.001 else f"{p:.3f}", float(p))


def _text(value: Any) -> Cell:  # noqa: ANN401 - a text, None, NaN or NA out of a data frame
    return Cell(GAP) if missing(value) else Cell(str(value))
