"""Tuning: the same number of trials for every objective, on seeds that are never reported."""
