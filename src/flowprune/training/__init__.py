"""Training many small models side by side: the replica axis and the loop that fits it."""

from flowprune.training.kernels import keep_freed_pages

keep_freed_pages()
