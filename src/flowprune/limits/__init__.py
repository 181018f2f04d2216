"""What is left of a pruned network when its width grows: the graphon of its masks, and its kernel."""
