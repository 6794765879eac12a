"""What watches a student while it learns. It changes no weight, so no stage depends on this code."""
