"""Published values, for reading next to measured ones."""
