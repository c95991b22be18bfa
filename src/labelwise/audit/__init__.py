"""Find what is wrong with the labels.

The package is callable: `labelwise.audit(table)` is `labelwise.audit.run_audit(table)`.
"""

import sys
from importlib import import_module
from typing import Any

from labelwise.audit._callable import CallablePackage
from labelwise.audit.annotators import AnnotatorQuality, annotator_quality
from labelwise.audit.box_doubts import Doubt, box_doubts
from labelwise.audit.boxes import write_box_audit
from labelwise.audit.budget import LabelBudget, label_budget, pareto
from labelwise.audit.cleaning import cleaning_report, evaluate_cleaning
from labelwise.audit.comparing import compare_models
from labelwise.audit.confident import (
    NoiseMatrices,
    class_thresholds,
    confident_joint,
    estimate_joint,
    noise_matrices,
)
from labelwise.audit.correct import apply_corrections
from labelwise.audit.cross_fitting import cross_fit
from labelwise.audit.data_issues import DataIssue
from labelwise.audit.destabilised import Destabilisation, destabilise
from labelwise.audit.ensemble import default_models
from labelwise.audit.filters import find_label_issues
from labelwise.audit.findings import Finding
from labelwise.audit.health import class_health, class_overlap
from labelwise.audit.ledger import Ledger, Source, plan, split_shares
from labelwise.audit.margins import area_under_margin, recorded_margins
from labelwise.audit.multilabel import (
    multilabel_class_health,
    multilabel_confident_joint,
    multilabel_label_issues,
    multilabel_label_quality,
)
from labelwise.audit.pipeline import Audit, run_audit
from labelwise.audit.quality import label_quality
from labelwise.audit.reopen import corrected, examples, export_corrected
from labelwise.audit.simifeat import SimiFeat, simifeat
from labelwise.audit.staged import FineTuned, Stage, run_stages, uncertainty_sample
from labelwise.audit.transition import anchor_points, confident_transition, hoc
from labelwise.audit.votes import Vote, necv

__all__ = [
    "AnnotatorQuality",
    "Audit",
    "DataIssue",
    "Destabilisation",
    "Doubt",
    "Finding",
    "FineTuned",
    "LabelBudget",
    "Ledger",
    "NoiseMatrices",
    "SimiFeat",
    "Source",
    "Stage",
    "Vote",
    "anchor_points",
    "annotator_quality",
    "apply_corrections",
    "area_under_margin",
    "box_doubts",
    "class_health",
    "class_overlap",
    "class_thresholds",
    "cleaning_report",
    "compare_models",
    "confident_joint",
    "confident_transition",
    "corrected",
    "cross_fit",
    "default_models",
    "destabilise",
    "estimate_joint",
    "evaluate_cleaning",
    "examples",
    "export_corrected",
    "find_label_issues",
    "hoc",
    "label_budget",
    "label_quality",
    "multilabel_class_health",
    "multilabel_confident_joint",
    "multilabel_label_issues",
    "multilabel_label_quality",
    "necv",
    "noise_matrices",
    "pareto",
    "plan",
    "recorded_margins",
    "relabel",
    "run_audit",
    "run_stages",
    "simifeat",
    "split_shares",
    "uncertainty_sample",
    "write_box_audit",
]

sys.modules[__name__].__class__ = CallablePackage


def __getattr__(name: str) -> Any:
    if name == "relabel":  # it loads torch, which worker processes do without
        return import_module("labelwise.audit.relabel")
    raise AttributeError(f"module 'labelwise.audit' has no attribute {name!r}")
