"""Command ``experiments``: DVC's experiments as a table of scores and gains."""
