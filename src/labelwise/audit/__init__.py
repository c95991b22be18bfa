"""Find what is wrong with the labels.

The package is callable: `labelwise.audit(table)` is `labelwise.audit.run_audit(table)`.
"""

import sys
from importlib import import_module
from typing import Any

from labelwise.audit._callable import CallablePackage
from labelwise.audit.annotators import AnnotatorQuality, annotator_quality
from labelwise.audit.budget import LabelBudget, label_budget, pareto
from labelwise.audit.confident import (
    class_thresholds,
    confident_joint,
    estimate_joint,
    find_label_issues,
    label_quality,
)
from labelwise.audit.correct import apply_corrections
from labelwise.audit.cross_fitting import cross_fit
from labelwise.audit.data_issues import DataIssue
from labelwise.audit.destabilised import Destabilisation, destabilise
from labelwise.audit.ensemble import default_models
from labelwise.audit.findings import Finding
from labelwise.audit.ledger import Ledger, Source, plan, split_shares
from labelwise.audit.pipeline import Audit, run_audit
from labelwise.audit.reopen import corrected, export_corrected
from labelwise.audit.staged import FineTuned, Stage, run_stages, uncertainty_sample
from labelwise.audit.votes import Vote, necv

__all__ = [
    "AnnotatorQuality",
    "Audit",
    "DataIssue",
    "Destabilisation",
    "Finding",
    "FineTuned",
    "LabelBudget",
    "Ledger",
    "Source",
    "Stage",
    "Vote",
    "annotator_quality",
    "apply_corrections",
    "class_thresholds",
    "confident_joint",
    "corrected",
    "cross_fit",
    "default_models",
    "destabilise",
    "estimate_joint",
    "export_corrected",
    "find_label_issues",
    "label_budget",
    "label_quality",
    "necv",
    "pareto",
    "plan",
    "relabel",
    "run_audit",
    "run_stages",
    "split_shares",
    "uncertainty_sample",
]

sys.modules[__name__].__class__ = CallablePackage


def __getattr__(name: str) -> Any:
    if name == "relabel":  # it loads torch, which worker processes do without
        return import_module("labelwise.audit.relabel")
    raise AttributeError(f"module 'labelwise.audit' has no attribute {name!r}")
