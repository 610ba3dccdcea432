"""A search that ends in trained networks: it chooses what to train by a predictor of the labels so far."""
