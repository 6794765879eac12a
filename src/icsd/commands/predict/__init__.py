"""The command ``predict``: masks for any images."""
