"""Data that training and evaluation read: shards of prepared images, and batches of them."""
