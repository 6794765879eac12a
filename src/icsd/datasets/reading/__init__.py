"""Reads published files: images as a viewer shows them, masks as class numbers, lists as names."""
