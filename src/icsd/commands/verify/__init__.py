"""Command ``verify``: whether rows of a report still hold. Nothing is written, and no server is queried.

A row holds if everything that determined its network is as recorded, and measuring the stored network again
gives every stored number. DVC's cache and MLflow's store hold if they agree with dvc.lock and the files.
"""
