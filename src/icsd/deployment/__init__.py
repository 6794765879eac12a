"""Networks at work: on images of any size, and as files that need none of this project."""
