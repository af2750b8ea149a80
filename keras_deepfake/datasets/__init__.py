"""Image indexes, `tf.data` pipelines over them, and synthetic faces."""

__all__ = []
