"""The stages of the pipeline: the only code that sees all of the parameters."""
