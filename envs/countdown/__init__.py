"""Countdown: equations that reach a target from given numbers."""
