"""MLflow's pages on a store that the pipeline wrote."""

import mlflow
import pytest

pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"
)


@pytest.fixture(scope="session")
def runs(reproduced):
    """Run name -> run, of the small pipeline."""
    client = mlflow.MlflowClient(f"sqlite:///{reproduced}/mlflow.db")
    experiment = client.get_experiment_by_name("icsd-shapes")
    assert experiment is not None
    return {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}


@pytest.fixture
def visit(page, viewer, runs):
    experiment = next(iter(runs.values())).info.experiment_id

    def visit(path, query=""):
        page.goto(f"{viewer}/#/experiments/{experiment}{path}?workflowType=machine_learning{query}")
        return page

    return visit


def unfold(page):
    """Show the networks of the only execution."""
    page.get_by_role("link", name="workspace-").wait_for()
    page.locator(".ag-cell button").first.click()


def search(page, words):
    box = page.get_by_placeholder("metrics.rmse")
    box.fill(words)
    box.press("Enter")


def test_an_execution_is_one_row_that_opens_to_its_networks(visit):
    page = visit("/runs")
    page.get_by_role("link", name="workspace-").wait_for()
    assert page.get_by_role("link", name="aicsd · resnet18 · seed 0").count() == 0
    unfold(page)
    for method in ("teacher", "none", "kd", "aicsd"):
        page.get_by_role("link", name=f"{method} · resnet18 · seed 0").wait_for()


def test_a_first_visit_finds_all_networks_by_their_score(page, viewer, runs):
    """Without any setting in the address: MLflow opens its view for language models."""
    experiment = next(iter(runs.values())).info.experiment_id
    page.goto(f"{viewer}/#/experiments/{experiment}")
    page.get_by_role("button", name="Got it").click()  # MLflow's own tour lies over the page
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Networks by mIoU").click()
    page = opened.value
    page.set_default_timeout(60_000)
    page.get_by_role("link", name="aicsd · resnet18 · seed 0").wait_for()
    shown = [name for name in page.locator(".ag-row a").all_inner_texts() if "seed 0" in name]
    scores = [runs[name].data.metrics["report/miou"] for name in shown]
    assert len(scores) == 4
    assert scores == sorted(scores, reverse=True)
    page.get_by_text("report/miou").first.wait_for()
    page.get_by_text("aicsd-resnet18-seed0").first.wait_for()


def test_its_charts_draw_every_network(visit):
    page = visit("/runs", "&viewStateShareKey=networks&compareRunsMode=CHART")
    page.get_by_placeholder("Search metric charts").fill("val/miou")
    page.locator(".js-plotly-plot .scatterlayer .trace").nth(3).wait_for(state="attached")


def test_runs_are_found_by_their_tags(visit):
    page = visit("/runs")
    unfold(page)
    page.get_by_role("link", name="aicsd · resnet18 · seed 0").wait_for()
    search(page, "tags.`icsd.method` = 'kd'")
    page.get_by_role("link", name="aicsd · resnet18 · seed 0").wait_for(state="detached")
    page.get_by_role("link", name="kd · resnet18 · seed 0").wait_for()


def test_charts_compare_methods_over_epochs_without_set_up(visit):
    page = visit("/runs", "&compareRunsMode=CHART")
    unfold(page)
    charts = page.get_by_placeholder("Search metric charts")
    for title in ("loss/ce", "val/miou", "similarity/distance"):
        charts.fill(title)
        page.get_by_text(title, exact=True).first.wait_for()
        page.locator(".js-plotly-plot .scatterlayer .trace").nth(2).wait_for(state="attached")


def test_a_network_shows_its_parameters_data_and_similarity_over_time(visit, runs):
    run = runs["aicsd · resnet18 · seed 0"].info.run_id
    page = visit(f"/runs/{run}")
    page.get_by_text("alw.decay").first.wait_for()
    page.get_by_text("icsd.method").first.wait_for()
    page.get_by_text("shapes (").first.wait_for()
    page = visit(f"/runs/{run}/model-metrics")
    page.get_by_placeholder("Search metric charts").fill("similarity")
    picture = page.locator("img[src^='blob:'], img[src*='get-artifact'], img[src^='data:image']").first
    picture.wait_for()
    page.wait_for_function("node => node.naturalWidth > 100", arg=picture.element_handle())
    assert picture.bounding_box()["height"] > 100, "its parameters leave it room"
    page = visit(f"/runs/{run}/system-metrics")
    page.get_by_text("cpu_utilization_percentage").first.wait_for()


def test_the_execution_has_the_report_and_its_figures(visit, runs):
    (parent,) = [run for run in runs.values() if run.data.tags["icsd.role"] == "parent"]
    page = visit(f"/runs/{parent.info.run_id}/artifacts/figures/miou_by_method.png")
    page.get_by_text("report.html").first.wait_for()
    page.locator("img[src^='blob:'], img[src*='get-artifact']").first.wait_for()


def test_a_registered_student_has_its_card_and_its_champion(page, viewer):
    page.goto(f"{viewer}/#/models/icsd-shapes-resnet18?workflowType=machine_learning")
    page.get_by_text("champion", exact=False).first.wait_for()
    page.get_by_text("icsd.champion_reason").first.wait_for()
    page.get_by_role("link", name="Version 1").click()
    page.get_by_text("ResNet-18 on shapes").first.wait_for()
    page.get_by_text("mlflow.pyfunc.load_model").first.wait_for()
