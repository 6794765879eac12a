"""Command ``new-dataset``: a preset for any folder of images and masks, inferred from its files."""
