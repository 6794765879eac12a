"""Command ``verify``: whether rows of a report still hold. Nothing is written, and no server is asked.

A row holds if everything that determined its network is as it was recorded, and the stored network, measured
again, gives every stored number. DVC's cache and MLflow's store hold if they are as dvc.lock and files say.
"""
