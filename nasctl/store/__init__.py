"""The store: one SQLite file of measurements, which all runs share, and of the runs that visited them."""

from nasctl.store.measurements import Ledger, Measurement
from nasctl.store.run_log import RunLog
from nasctl.store.run_record import Column, RunRecord
from nasctl.store.store import Store

__all__ = ["Column", "Ledger", "Measurement", "RunLog", "RunRecord", "Store"]
