"""Rules that remove edges, each independent of the model it prunes."""
