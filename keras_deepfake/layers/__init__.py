"""Layers: convolutional blocks, pooling, corruptions."""
