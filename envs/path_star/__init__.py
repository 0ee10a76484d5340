"""Path-star graphs: planning a path whose first step decides all."""
