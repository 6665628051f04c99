"""From arrays to numbers: the classifier on embeddings, scores, readouts of maturity, counts, statistics, Grad-CAM."""

from smrjax.evaluate.by_fold import FoldScores, class_scores, fold_scores, mean_shares
from smrjax.evaluate.calibration import (
    brier_score,
    calibration_report,
    classwise_calibration_error,
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
)
from smrjax.evaluate.correction import corrected_draws, corrected_shares
from smrjax.evaluate.counts import DifferentialCount, differential_count, ratio
from smrjax.evaluate.gradcam import gradcam, rescale, upsample
from smrjax.evaluate.health import (
    effective_rank,
    share_beyond_ends,
    span,
    spread,
    straightness,
    warnings_in_words,
)
from smrjax.evaluate.ordinal import (
    kendall_tau,
    mean_absolute_stage_error,
    off_by_one_accuracy,
    quadratic_kappa,
    spearman,
)
from smrjax.evaluate.readouts import compare_readouts, expected_stage, maturity_scores
from smrjax.evaluate.scores import (
    accuracy,
    balanced_accuracy,
    confusion,
    error_split,
    least_severe,
    m_score,
    macro_f1,
    macro_f1_at_support,
    misclassification_severity,
    per_class,
    score_report,
)
from smrjax.evaluate.statistics import cluster_bootstrap, holm, interval, paired_difference
from smrjax.evaluate.svm import SVMResult, calibrate, fit_svm, fit_svm_at, load_estimator, load_svm, save_svm
from smrjax.evaluate.svm_grid import GRID, Grid
from smrjax.evaluate.svm_model import SVMModel
from smrjax.evaluate.wilson import cells_needed, wilson

__all__ = [
    "GRID",
    "DifferentialCount",
    "FoldScores",
    "Grid",
    "SVMModel",
    "SVMResult",
    "accuracy",
    "balanced_accuracy",
    "brier_score",
    "calibrate",
    "calibration_report",
    "cells_needed",
    "class_scores",
    "classwise_calibration_error",
    "cluster_bootstrap",
    "compare_readouts",
    "confusion",
    "corrected_draws",
    "corrected_shares",
    "differential_count",
    "effective_rank",
    "error_split",
    "expected_calibration_error",
    "expected_stage",
    "fit_svm",
    "fit_svm_at",
    "fold_scores",
    "gradcam",
    "holm",
    "interval",
    "kendall_tau",
    "least_severe",
    "load_estimator",
    "load_svm",
    "m_score",
    "macro_f1",
    "macro_f1_at_support",
    "maturity_scores",
    "mean_absolute_stage_error",
    "mean_shares",
    "misclassification_severity",
    "negative_log_likelihood",
    "off_by_one_accuracy",
    "paired_difference",
    "per_class",
    "quadratic_kappa",
    "ratio",
    "reliability",
    "rescale",
    "save_svm",
    "score_report",
    "share_beyond_ends",
    "span",
    "spearman",
    "spread",
    "straightness",
    "upsample",
    "warnings_in_words",
    "wilson",
]
