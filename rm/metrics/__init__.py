"""Metrics: one value a group (ranking, length), a dimension (agreement) or a score column (calibration).

Undefined is NaN and stays so; `summarize` and `paired_difference` turn values by group into figures with
intervals.
"""

from rm.metrics.agreement import DimensionAgreement, confusion, dimension_agreement
from rm.metrics.bootstrap import PairedDifference, Summary, bootstrap_interval, paired_difference, summarize
from rm.metrics.calibration import Reliability, ReliabilityBin, reliability
from rm.metrics.length import length_correlation, longest_scores
from rm.metrics.pass_at_k import pass_at_k
from rm.metrics.ranking import (
    GroupRanking,
    chance_group,
    group_accuracy,
    kendall_tau,
    ndcg,
    pair_accuracy,
    rank_group,
    reciprocal_rank,
    spearman_rho,
    tie_rate,
)
from rm.metrics.raters import RaterAgreement, rater_agreement

__all__ = [
    "DimensionAgreement",
    "GroupRanking",
    "PairedDifference",
    "RaterAgreement",
    "Reliability",
    "ReliabilityBin",
    "Summary",
    "bootstrap_interval",
    "chance_group",
    "confusion",
    "dimension_agreement",
    "group_accuracy",
    "kendall_tau",
    "length_correlation",
    "longest_scores",
    "ndcg",
    "pair_accuracy",
    "paired_difference",
    "pass_at_k",
    "rank_group",
    "rater_agreement",
    "reciprocal_rank",
    "reliability",
    "spearman_rho",
    "summarize",
    "tie_rate",
]
