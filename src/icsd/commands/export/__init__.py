"""The command ``export``: writes a network to a file for other programs, and checks it before keeping it."""
