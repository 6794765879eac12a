"""Commands ``convert-coco`` and ``convert-hf``: other formats, once, to a folder of images and masks."""
