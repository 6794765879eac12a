"""Monitoring of a student during training. It changes no weight, so no stage depends on this code."""
