import matplotlib
import numpy as np
from matplotlib.figure import Figure

from icsd.tracking.values import PARAM_LENGTH, flatten, safe_key, thumbnail, to_image

matplotlib.use("Agg")


def test_nested_parameters_get_dotted_names_and_yaml_like_texts() -> None:
    nested = {"alw": {"decay": "linear", "start": 1.0}, "pretrained": False, "crop": [96, 96], "seed": None}
    assert flatten(nested) == {
        "alw.decay": "linear",
        "alw.start": "1.0",
        "pretrained": "false",
        "crop": "[96, 96]",
        "seed": "null",
    }


def test_an_empty_mapping_stays_visible() -> None:
    assert flatten({"weights": {}}) == {"weights": "{}"}


def test_a_long_value_is_cut_to_what_mlflow_stores() -> None:
    text = flatten({"classes": "x" * 10_000})["classes"]
    assert len(text) == PARAM_LENGTH
    assert text.endswith("…")


def test_names_lose_the_characters_that_mlflow_refuses() -> None:
    assert safe_key("loss/α(t) = 50%") == "loss/α_t_ _ 50_"


def test_pixels_and_figures_become_images() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    np.testing.assert_array_equal(np.asarray(to_image(pixels)), pixels)
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1])
    assert to_image(figure).width > 100


def test_a_thumbnail_keeps_the_shape_and_leaves_the_image_alone() -> None:
    image = to_image(np.zeros((100, 1000), np.uint8))
    assert thumbnail(image, 50).size == (50, 5)
    assert image.size == (1000, 100)
