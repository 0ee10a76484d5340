"""Studies: work over many runs or models, such as tuning, calibration, benchmarks, decoding and reconstruction."""
