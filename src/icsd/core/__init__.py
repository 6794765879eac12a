"""Pure arithmetic that everything else stands on: no files, no parameters, no networks."""
