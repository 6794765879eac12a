"""Command ``new-dataset``: a preset for anybody's folder of images and masks, from what lies there."""
