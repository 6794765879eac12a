"""report.html as a reader uses it: sorted, slid through, on a phone, on paper."""

import pytest


@pytest.fixture
def report(page, reproduced):
    page.goto((reproduced / "reports/shapes/report.html").as_uri())
    yield page
    assert page.refused == []
    assert page.messages == []


def column(report, table, number):
    return report.locator(f"#{table} tbody tr td:nth-child({number})").all_inner_texts()


def test_what_is_folded_opens_by_a_click_and_by_a_link_to_what_is_in_it(report):
    assert not report.locator("#per-class").is_visible()
    report.locator("summary", has_text="IoU per class").click()
    assert report.locator("#per-class").is_visible()
    assert not report.locator("#cost").is_visible()
    report.locator("nav").get_by_role("link", name="Cost").click()
    assert report.locator("#cost").is_visible()
    report.locator("summary", has_text="Cost").click()
    assert not report.locator("#cost").is_visible()
    report.locator("nav").get_by_role("link", name="Cost").click()  # the address is the same as before
    assert report.locator("#cost").is_visible()


def test_a_click_sorts_and_the_third_restores(report):
    report.locator("summary", has_text="IoU per class").click()
    before = column(report, "per-class", 2)
    header = report.locator("#per-class thead th").nth(1).get_by_role("button")
    header.click()
    assert column(report, "per-class", 2) == sorted(before, key=str.lower)
    header.click()
    assert column(report, "per-class", 2) == sorted(before, key=str.lower, reverse=True)
    header.click()
    assert column(report, "per-class", 2) == before


def test_the_keyboard_sorts_numbers_by_value(report):
    header = report.locator("#comparison thead th").nth(2)
    header.get_by_role("button").focus()
    report.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "descending"
    values = [float(text.split(" ")[0]) for text in column(report, "comparison", 3)]
    assert values == sorted(values, reverse=True)


def test_the_slider_moves_through_the_epochs_of_every_method(report):
    shown = report.locator("#similarity-shown")
    assert shown.inner_text().startswith("AICSD, after epoch 3 of 3 (one seed): distance to the teacher")
    report.locator("#similarity-epoch").focus()
    last = report.locator("#similarity-matrices rect").nth(5).get_attribute("fill")
    for _ in range(3):
        report.keyboard.press("ArrowLeft")
    assert "AICSD, before training" in shown.inner_text()
    squares = report.locator("#similarity-matrices figure").first.locator("rect[fill]")
    assert squares.count() >= 81
    fills = {squares.nth(index).get_attribute("fill") for index in range(81)}
    assert last is not None
    assert len(fills) > 1
    report.locator("#similarity-method").select_option("KD")
    assert "KD, before training" in shown.inner_text()


def test_a_name_leads_to_its_run_and_digest(report):
    report.locator("#comparison").get_by_role("link", name="AICSD").click()
    target = report.locator("tr:target")
    assert target.get_attribute("id") == "run-resnet18-aicsd"
    assert target.is_visible()
    assert target.locator("td").nth(3).inner_text().strip() != "–"


def test_every_section_of_the_navigation_is_there(report):
    links = report.locator("nav a").all()
    assert len(links) >= 8
    for link in links:
        assert report.locator(link.get_attribute("href")).count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling_of_the_page(report, scheme):
    report.emulate_media(color_scheme=scheme)
    report.set_viewport_size({"width": 390, "height": 800})
    assert report.evaluate("document.documentElement.scrollWidth") == 390
    paper = report.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") is (scheme == "light")


def test_it_prints_without_what_only_a_screen_can_do(report):
    report.emulate_media(media="print")
    assert not report.locator("#similarity").is_visible()
    assert not report.locator("nav").is_visible()
    assert report.locator("#comparison").is_visible()
    assert len(report.pdf()) > 100_000
