"""Training: where batches, model output and losses meet."""

from rm.train.check import CheckReport, check_training
from rm.train.run import TrainResult, check_run, train

__all__ = ["CheckReport", "TrainResult", "check_run", "check_training", "train"]
