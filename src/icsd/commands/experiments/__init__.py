"""Command ``experiments``: DVC's experiments as a table of what people compare."""
