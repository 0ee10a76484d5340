"""Taxi rides over a street map."""
