"""Calibration: every metric against its references and against damage of growing size."""
