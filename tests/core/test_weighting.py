from itertools import pairwise
from typing import Literal

import pytest

from icsd.core import weighting
from icsd.core.weighting import DECAYS, NUMBERS, Alw, Decay, Number, alpha, term_weights

FALLING = [decay for decay in DECAYS if decay not in ("constant", "none")]
WEIGHTS = {"icsd": 0.1, "kd": 2.0}


@pytest.mark.parametrize("epoch", [0, 1, 60, 119])
def test_linear_is_the_published_ramp(epoch: int) -> None:
    assert alpha(epoch, epochs=120, decay="linear") == epoch / 120


@pytest.mark.parametrize("decay", FALLING)
def test_the_teacher_goes_from_one_to_zero(decay: str) -> None:
    values = [alpha(epoch, epochs=40, decay=decay) for epoch in range(41)]
    assert values[0] == 0
    assert values[-1] == pytest.approx(1)
    assert all(a <= b for a, b in pairwise(values))


@pytest.mark.parametrize(
    ("decay", "expected"),
    [("linear", 0.25), ("cosine", 0.1464466), ("polynomial", 0.4375), ("constant", 0.5)],
)
def test_a_quarter_of_the_way(decay: str, expected: float) -> None:
    assert alpha(5, epochs=20, decay=decay) == pytest.approx(expected)


def test_exponential_falls_earlier_with_its_rate() -> None:
    slow, fast = (alpha(10, epochs=40, decay="exponential", rate=rate) for rate in (1.0, 8.0))
    assert 0.25 < slow < fast < 1


def test_polynomial_of_power_one_is_linear() -> None:
    assert alpha(7, epochs=40, decay="polynomial", power=1.0) == pytest.approx(7 / 40)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [(1, [0, 0, 0, 1, 1, 1]), (2, [0, 0, 0.5, 0.5, 1, 1]), (5, [0, 0.2, 0.4, 0.6, 0.8, 1])],
)
def test_steps_are_equal_drops_on_equal_treads(steps: int, expected: list[float]) -> None:
    assert [alpha(epoch, epochs=6, decay="step", steps=steps) for epoch in range(6)] == pytest.approx(
        expected
    )


def test_constant_is_the_teachers_weight() -> None:
    assert {alpha(epoch, epochs=9, decay="constant", constant=0.2) for epoch in range(9)} == {0.8}


def at(epoch: int, alw: Alw | None) -> dict[str, float]:
    return term_weights(epoch, epochs=100, terms=("icsd", "kd"), weights=WEIGHTS, alw=alw)


def test_paper_scope_lets_only_kd_decay() -> None:
    assert at(25, Alw()) == pytest.approx({"ce": 0.25, "icsd": 0.25 * 0.1, "kd": 0.75 * 2.0})


def test_teacher_scope_lets_every_distillation_term_decay() -> None:
    assert at(25, Alw(scope="teacher")) == pytest.approx({"ce": 0.25, "icsd": 0.75 * 0.1, "kd": 0.75 * 2.0})


def test_distillation_scope_leaves_the_labels_in_full() -> None:
    alw = Alw(scope="distillation")
    assert at(25, alw) == pytest.approx({"ce": 1.0, "icsd": 0.75 * 0.1, "kd": 0.75 * 2.0})
    weights = term_weights(
        25, epochs=100, terms=("kd",), weights={"kd": 2.0}, alw=alw, label_terms={"dice": 2.0}
    )
    assert weights == pytest.approx({"ce": 1.0, "dice": 2.0, "kd": 1.5})


@pytest.mark.parametrize("alw", [None, Alw(decay="none"), Alw(decay="none", scope="teacher")])
def test_without_alw_every_term_keeps_its_weight(alw: Alw | None) -> None:
    assert at(25, alw) == {"ce": 1.0, "icsd": 0.1, "kd": 2.0}


def test_the_published_first_epoch_is_the_teachers_alone() -> None:
    assert at(0, Alw()) == {"ce": 0.0, "icsd": 0.0, "kd": 2.0}


def test_paper_scope_without_kd_grows_everything() -> None:
    weights = term_weights(30, epochs=100, terms=("icsd",), weights={"icsd": 0.5}, alw=Alw())
    assert weights == pytest.approx({"ce": 0.3, "icsd": 0.15})


@pytest.mark.parametrize("scope", ["paper", "teacher"])
def test_a_loss_of_labels_beside_cross_entropy_grows_with_it(scope: Literal["paper", "teacher"]) -> None:
    weights = term_weights(
        30,
        epochs=100,
        terms=("icsd", "kd"),
        weights=WEIGHTS,
        alw=Alw(scope=scope),
        label_terms={"dice": 2.0},
    )
    assert list(weights) == ["ce", "dice", "icsd", "kd"]
    assert weights["dice"] == 2 * weights["ce"] == pytest.approx(0.6)
    assert term_weights(3, epochs=9, terms=(), weights={}, alw=None, label_terms={"dice": 2.0})["dice"] == 2.0


def test_the_baseline_has_cross_entropy_only() -> None:
    assert term_weights(3, epochs=10, terms=(), weights={}, alw=None) == {"ce": 1.0}


@pytest.mark.parametrize(
    ("field", "value", "decay"),
    [
        ("power", 3.0, "polynomial"),
        ("rate", 1.0, "exponential"),
        ("steps", 2, "step"),
        ("constant", 0.9, "constant"),
    ],
)
def test_every_parameter_reaches_its_decay(field: str, value: float, decay: str) -> None:
    assert at(30, Alw(**{"decay": decay, field: value})) != at(30, Alw(decay=decay))  # type: ignore[arg-type]


@pytest.mark.parametrize("decay", DECAYS)
def test_one_epoch_is_a_run_too(decay: str) -> None:
    assert 0 <= alpha(0, epochs=1, decay=decay) <= 1


def test_a_new_decay_is_one_entry_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    late = Decay(
        lambda epoch, epochs, *, start: float(epoch / epochs >= start), {"start": Number(0.5, "when")}
    )
    monkeypatch.setitem(DECAYS, "late", late)
    monkeypatch.setitem(NUMBERS, "start", late.numbers["start"])
    alw = Alw(decay="late", start=0.8)
    assert [at(epoch, alw)["ce"] for epoch in (79, 80)] == [0, 1]
    assert alw.as_dict()["start"] == 0.8
    assert weighting.alpha(60, epochs=100, decay="late") == 1


def test_a_number_that_no_decay_reads_is_refused() -> None:
    with pytest.raises(TypeError, match="no decay has a number speed"):
        Alw(speed=1.0)


def test_the_defaults_of_a_decay_are_those_of_the_documentation() -> None:
    assert {name: number.default for name, number in NUMBERS.items()} == {
        "rate": 5.0,
        "power": 2.0,
        "steps": 4,
        "constant": 0.5,
    }
    limits = {name: (number.above, number.least, number.most) for name, number in NUMBERS.items()}
    assert limits == {
        "rate": (0, None, None),
        "power": (0, None, None),
        "steps": (None, 1, None),
        "constant": (None, 0, 1),
    }


@pytest.mark.parametrize("epoch", [0, 3, 9])
def test_without_a_decay_the_teacher_keeps_all_of_its_weight(epoch: int) -> None:
    assert alpha(epoch, epochs=10, decay="none") == 0
