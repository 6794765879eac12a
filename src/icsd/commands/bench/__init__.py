"""The command ``bench``: how fast a network is in each of its forms, and what it needs."""
