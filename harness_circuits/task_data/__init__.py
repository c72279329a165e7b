"""The data of circuit tasks, one file per kind of source."""

from harness_circuits.task_data.base import SPLITS, TaskData, pools, split_of
from harness_circuits.task_data.chat import Chat
from harness_circuits.task_data.columns import Columns
from harness_circuits.task_data.fit import Fit
from harness_circuits.task_data.hub import HubData
from harness_circuits.task_data.scorer import Scorer
from harness_circuits.task_data.truth import TruthData

__all__ = [
    "SPLITS",
    "Chat",
    "Columns",
    "Fit",
    "HubData",
    "Scorer",
    "TaskData",
    "TruthData",
    "pools",
    "split_of",
]
