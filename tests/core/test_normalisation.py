from torchvision.transforms._presets import ImageClassification

from icsd.core.normalisation import IMAGENET_MEAN, IMAGENET_STD


def test_the_statistics_are_those_that_torchvisions_weights_were_trained_with():
    preset = ImageClassification(crop_size=224)
    assert (list(IMAGENET_MEAN), list(IMAGENET_STD)) == (preset.mean, preset.std)
