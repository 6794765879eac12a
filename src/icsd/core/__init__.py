"""Pure arithmetic that the rest of the package builds on: no files, no parameters, no networks."""
