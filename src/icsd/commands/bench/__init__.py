"""The command ``bench``: the speed and memory of a network in each of its forms."""
