"""Getting a dataset's archives: where they are, and how they come here whole."""
