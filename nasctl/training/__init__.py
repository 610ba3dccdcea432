"""Training of networks: recipes, labelled data, the loop with its checkpoints, and trained weights."""
