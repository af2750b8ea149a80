"""What in the files of a data set would let a model cheat."""

from keras_deepfake.audit.dataset_audit import audit_dataset
from keras_deepfake.audit.findings import DatasetAudit, Finding

__all__ = ["DatasetAudit", "Finding", "audit_dataset"]
