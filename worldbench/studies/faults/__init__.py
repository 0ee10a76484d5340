"""Wrong models of known kinds, and which metrics tell them apart from the exact model."""
