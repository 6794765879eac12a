"""The stages ``train_teacher``, ``distill`` and ``baselines``: one network from data to weights."""
