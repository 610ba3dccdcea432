"""The store: one SQLite file that holds the measurements of all runs, and the genomes that each run visited."""

from nasctl.store.measurements import Ledger, Measurement
from nasctl.store.run_log import RunLog
from nasctl.store.run_record import Column, RunRecord
from nasctl.store.store import RunSummary, Store
from nasctl.store.training_table import TrainingRecord

__all__ = ["Column", "Ledger", "Measurement", "RunLog", "RunRecord", "RunSummary", "Store", "TrainingRecord"]
