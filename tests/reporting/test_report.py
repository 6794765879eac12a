import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.reporting.tree import CLASSES, PALETTE, Tree, write_json

from icsd.reporting import differences
from icsd.reporting.page.html import to_html
from icsd.reporting.report import summary, write_report
from icsd.reporting.tables import comparison as comparison_table
from icsd.reporting.tables.cells import Cell, Display


def write(tree: Tree, destination: Path) -> dict[str, Any]:
    return write_report(
        tree.load(),
        destination=destination,
        classes=tree.classes,
        palette=PALETTE,
        resamples=100,
        seed=0,
        rope=0.5,
    )


def small(root: Path) -> Tree:
    tree = Tree(root, methods=("none", "icsd", "aicsd"), classes=CLASSES[:3])
    tree.quality["icsd"] = 0.62
    return tree.write()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    root = tmp_path_factory.mktemp("made")
    return root / "out", write(small(root), root / "out")


class References(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [
            value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")
        ]


def test_the_folder_holds_tables_figures_and_pages(made: tuple[Path, dict[str, Any]]):
    found = {path.relative_to(made[0]).as_posix() for path in made[0].rglob("*") if path.is_file()}
    written = {
        f"{name}.{suffix}"
        for name in (
            "comparison",
            "decisions",
            "contrasts",
            "ablation",
            "methods",
            "fidelity",
            "pairs",
            "per_class",
            "cost",
            "protocol",
        )
        for suffix in ("csv", "md", "tex")
    }
    kinds = (
        *("per_class_iou", "training_curves", "similarity_distance", "alw_weights"),
        *("ics_matrices", "confusion", "panels"),
    )
    pictures = {f"figures/{kind}_resnet18.png" for kind in kinds} | {
        "figures/miou_by_method.png",
        "figures/differences.png",
    }
    plots = {f"plots/{name}.csv" for name in ("curves", "weights", "confusion")}
    assert found == written | pictures | plots | {
        "comparison_details.md",
        "comparison_details.tex",
        "differences.csv",
        "provenance.csv",
        "README.md",
        "report.html",
    }


def test_loss_health_is_shown_where_it_was_measured(tree: Tree, tmp_path: Path):
    for seed in tree.seeds:
        path = tree.folder("runs", "aicsd", "resnet18", seed) / "history.csv"
        history = pd.read_csv(path)
        for term, share in (("ce", 0.997), ("kd", 0.003)):
            history[f"health/share/{term}"] = share
            history[f"weight/{term}"] = 1.0
        history.to_csv(path, index=False)
    write(tree, tmp_path / "out")
    page = (tmp_path / "out/report.html").read_text()
    assert "Loss terms to look at" in page
    assert "the term kd does nothing" in page
    assert (tmp_path / "out/figures/loss_shares_resnet18.png").exists()
    assert "| KD" not in (tmp_path / "out/health.md").read_text()
    assert "does nothing" in (tmp_path / "out/health.md").read_text()


def test_the_page_leads_nowhere_outside_itself(made: tuple[Path, dict[str, Any]]):
    page = (made[0] / "report.html").read_text()
    references = References()
    references.feed(page)
    assert len(references.found) > 10
    assert all(found.startswith(("#", "data:")) for found in references.found)
    assert not re.search(r"https?://|@import|url\(", page)


def test_the_page_answers_first_and_carries_its_provenance(made: tuple[Path, dict[str, Any]]):
    page = (made[0] / "report.html").read_text()
    for title in ("Differences between methods", "What each part of AICSD is worth", "Methods"):
        assert re.search(f">{title}</(h2|h3|summary)>", page)
    assert page.index("ResNet-18: AICSD reaches") < page.index('<h2 id="comparison-section">')
    for expected in (
        "run-aicsd-resnet18-1",
        "0123456789ab",
        "data:image/png;base64,",
        "prefers-color-scheme: dark",
    ):
        assert expected in page
    assert "Gaps" not in page


def test_the_summary_holds_fractions(made: tuple[Path, dict[str, Any]]):
    found = made[1]
    assert (found["dataset"], set(found)) == ("shapes", {"dataset", "teacher", "resnet18"})
    aicsd, alone = found["resnet18"]["aicsd"], found["resnet18"]["none"]
    assert aicsd["delta"] == pytest.approx(aicsd["miou"] - alone["miou"], abs=1e-4)
    assert 0 < aicsd["std"] < 0.1
    assert aicsd["low"] < aicsd["delta"] < aicsd["high"]
    assert set(alone) == {"miou", "std"}


def test_the_readme_shows_tables_and_four_figures_without_costs(made: tuple[Path, dict[str, Any]]):
    text = (made[0] / "README.md").read_text()
    figures = re.findall(r"\]\((figures/.*?)\)", text)
    assert len(figures) == 4
    assert all((made[0] / name).is_file() for name in figures)
    assert "s / epoch" not in text
    assert all(f"\n## {title}\n" in text for title in ("What each part of AICSD is worth", "Methods"))


def test_only_costs_and_provenance_differ_between_identical_runs(
    made: tuple[Path, dict[str, Any]], tmp_path: Path
):
    again = small(tmp_path)
    for path in (tmp_path / "costs").rglob("*.json"):
        text = path.read_text().replace('"seconds_per_epoch": 1', '"seconds_per_epoch": 2')
        path.write_text(text.replace("run-", "other-"))
    write(again, tmp_path / "out")
    names = [path.relative_to(made[0]) for path in made[0].rglob("*") if path.is_file()]
    differing = {
        name.name for name in names if (made[0] / name).read_bytes() != (tmp_path / "out" / name).read_bytes()
    }
    assert differing == {"cost.csv", "cost.md", "cost.tex", "provenance.csv", "report.html"}
    pages = [
        (root / "report.html").read_text().split('<h2 id="cost-section">')[0]
        for root in (made[0], tmp_path / "out")
    ]
    answers = [re.findall("<p.*>(Cost: .*)</p>", page) for page in pages]
    assert answers[0] == [
        "Cost: with AICSD, an epoch of ResNet-18 takes 1.08 times the processor time of the student alone, "
        "and no parameters are added; the trained network has the same size."
    ]
    assert re.sub("Cost: .*", "", pages[0]) == re.sub("Cost: .*", "", pages[1])


def test_names_lead_to_the_rows_that_say_where_they_come_from(made: tuple[Path, dict[str, Any]]):
    page = (made[0] / "report.html").read_text()
    targets = set(re.findall(r'href="#(run-[\w-]+)"', page))
    assert targets == {
        "run-resnet50-teacher",
        *(f"run-resnet18-{name}" for name in ("none", "icsd", "aicsd")),
    }
    for target in targets:
        assert page.count(f'<tr id="{target}">') == 1
    row = page.split('<tr id="run-resnet18-aicsd">')[1].split("</tr>")[0]
    assert "run-aicsd-resnet18-0" in row


def test_the_slider_has_its_numbers_in_the_page(made: tuple[Path, dict[str, Any]]):
    page = (made[0] / "report.html").read_text()
    data = re.search('<script type="application/json" id="similarity-data">(.*?)</script>', page)
    assert data
    found = json.loads(data[1])
    assert [method["label"] for method in found["networks"][0]["methods"]] == [
        "Student alone",
        "ICSD",
        "AICSD",
    ]
    assert found["classes"] == list(CLASSES[:3])


def test_gaps_are_null_in_the_summary(tmp_path: Path):
    tree = Tree(tmp_path, seeds=(0,)).write()
    (tmp_path / "results/shapes/aicsd/resnet18-0/metrics.json").unlink()
    results = tree.load()
    compared = comparison_table.rows(results, differences.resample(results, resamples=20, seed=0))
    found = summary(compared, dataset="shapes")
    assert found["resnet18"]["aicsd"] == dict.fromkeys(("miou", "std", "delta", "low", "high"))
    assert found["resnet18"]["none"]["std"] is None


def test_an_empty_grid_still_gives_a_report_that_lists_its_gaps(tmp_path: Path):
    assert write(Tree(tmp_path), tmp_path / "out")["teacher"] == {"miou": None}
    page = (tmp_path / "out/report.html").read_text()
    assert "<code>results/shapes/aicsd/resnet18-0/metrics.json</code>" in page
    assert "<img" not in page


def test_names_are_escaped_in_the_page():
    table = Display("any", "Any", ("A", "B"), ((Cell("<b>sky</b>"), Cell("1", 1.0)),))
    names = (
        *("comparison", "comparison_details", "methods", "fidelity"),
        *("per_class", "cost", "protocol", "provenance"),
    )
    page = to_html(
        title="<i>",
        setting=["a & b"],
        answer=[["a < b"]],
        tables=dict.fromkeys(names, table),
        pictures=[],
        similarity={"classes": ["</script>"], "networks": []},
        gaps=["<x>"],
    )
    assert "a &amp; b" in page
    assert "&lt;b&gt;sky&lt;/b&gt;" in page
    assert not any(raw in page for raw in ("<b>sky", "<i>", "<x>", "a < b", '["</script>'))


@pytest.mark.parametrize(
    ("methods", "diverged"),
    [(("kd",), ()), (("none", "kd", "aicsd"), ("none", "aicsd"))],
    ids=["one method, not the student alone", "the student alone and the focus diverged"],
)
def test_incomplete_grids_have_sound_reports(
    tmp_path: Path, methods: tuple[str, ...], diverged: tuple[str, ...]
):
    tree = Tree(tmp_path, methods=methods, seeds=(0,), classes=CLASSES[:3])
    tree.quality["kd"] = 0.65
    tree.write()
    for method in diverged:
        folder = tree.folder("results", method, "resnet18", 0)
        shutil.rmtree(folder)
        write_json(
            folder / "diverged.json",
            {"schema": 1, "weights_sha256": "0" * 64, "not_finite": ["a"], "loss": None},
        )
    found = write(tree, tmp_path / "out")["resnet18"]
    assert {name: numbers["miou"] is None for name, numbers in found.items()} == {
        name: name in diverged for name in methods
    }
    text = (tmp_path / "out/README.md").read_text()
    assert ("Without any result" in text) == bool(diverged)
    assert ("not in the grid: add none" in text) == ("none" not in methods)
    assert " 0.00" not in text.split("## Comparison")[0]
    assert not re.search(r"\bnan\b|\bNone\b|<NA>", text)
    assert not re.search(r">\s*(nan|None|&lt;NA&gt;)\s*<", (tmp_path / "out/report.html").read_text())


def test_the_page_begins_with_three_sentences_and_the_picture_of_differences(
    made: tuple[Path, dict[str, Any]],
):
    page = (made[0] / "report.html").read_text(encoding="utf-8")
    start, rest = page.split("</section>", 1)
    box = start.split('<section class="answer"')[1]
    sentences = re.findall(r'<p(?: class="lead")?>([^<]+)</p>', box)
    assert [text.split(":")[0] for text in sentences] == ["ResNet-18", "Size", "What would settle it"]
    assert rest.lstrip().startswith('<figure id="differences">')
    assert page.count('id="differences"') == 1
    assert "Ranking: " in rest.split('aria-label="Sections"')[0]


def test_images_without_labels_are_said_first_on_the_page_and_in_the_readme(tree: Tree, tmp_path: Path):
    for method in tree.methods:
        for seed in tree.seeds:
            tree.edit_training(method, "resnet18", seed, {"num_unlabelled_images": 390})
    write(tree, tmp_path / "out")
    for name, answer in (("report.html", 'class="answer"'), ("README.md", "**ResNet-18: AICSD")):
        text = (tmp_path / "out" / name).read_text(encoding="utf-8")
        assert "They also see 390 images without labels" in text.split(answer)[0]
    assert "480, and 390 without labels, half of every batch" in (tmp_path / "out/protocol.md").read_text()


def test_a_narrow_screen_has_its_own_picture_of_differences(made: tuple[Path, dict[str, Any]]):
    page = (made[0] / "report.html").read_text(encoding="utf-8")
    figure = page.split('<figure id="differences">')[1].split("</figure>")[0]
    assert '<source media="screen and (max-width: 40rem)" srcset="data:image/png;base64,' in figure
    assert page.count("<source ") == 1


def test_names_of_parameters_are_set_as_code(made: tuple[Path, dict[str, Any]]):
    page = (made[0] / "report.html").read_text(encoding="utf-8")
    assert "<code>report.clips</code>" in page
    assert "`" not in re.sub("<script>.*?</script>", "", page, flags=re.DOTALL)
