"""Fetches a dataset's archives: finds them, and downloads or copies them completely."""
