"""From counts and likelihoods to uplift with its error: pure functions, no calls and no files."""

from rm.uplift.estimate.adaptive import Adaptive, adaptive
from rm.uplift.estimate.calibrate import Calibration, CalibrationReport, Features, calibrate
from rm.uplift.estimate.control import AdjustedMean, adjusted_mean
from rm.uplift.estimate.counts import Counts, Estimate
from rm.uplift.estimate.intervals import newcombe_interval, wilson
from rm.uplift.estimate.leaks import MASK, Leak, find_leak, mask_answer
from rm.uplift.estimate.likelihood import LikelihoodValue, likelihood_value
from rm.uplift.estimate.sampled import OFFICIAL, Sampled, newcombe
from rm.uplift.estimate.sequence import confidence_sequence
from rm.uplift.estimate.shrink import BetaPrior, Priors, Shrunken, fit_prior, shrink
from rm.uplift.estimate.simulate import Simulated, StoppingBias, simulate, stopping_bias

__all__ = [
    "MASK",
    "OFFICIAL",
    "Adaptive",
    "AdjustedMean",
    "BetaPrior",
    "Calibration",
    "CalibrationReport",
    "Counts",
    "Estimate",
    "Features",
    "Leak",
    "LikelihoodValue",
    "Priors",
    "Sampled",
    "Shrunken",
    "Simulated",
    "StoppingBias",
    "adaptive",
    "adjusted_mean",
    "calibrate",
    "confidence_sequence",
    "find_leak",
    "fit_prior",
    "likelihood_value",
    "mask_answer",
    "newcombe",
    "newcombe_interval",
    "shrink",
    "simulate",
    "stopping_bias",
    "wilson",
]
