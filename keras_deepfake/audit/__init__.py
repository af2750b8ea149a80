"""What in the files of a data set would let a model cheat."""

from keras_deepfake.audit.dataset_audit import DatasetAudit, Finding, audit_dataset

__all__ = ["DatasetAudit", "Finding", "audit_dataset"]
