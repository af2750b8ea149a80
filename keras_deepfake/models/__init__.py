"""Models: the autoencoder and the classifier built on its encoder."""
