"""The typed, versioned records: every JSON file that is read again has a type here, and one reader (`reading.read`)."""
