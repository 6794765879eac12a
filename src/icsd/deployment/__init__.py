"""Networks in use: on images of any size, and as files that do not need this project."""
