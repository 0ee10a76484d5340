"""Text: windows of files, as bytes or as tokens of a byte-pair encoding."""
