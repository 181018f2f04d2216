# The two commands of the README, and their parts.
.PHONY: book test serve refresh clean
