"""Commands ``convert-coco`` and ``convert-hf``: convert other formats to a folder of images and masks."""
