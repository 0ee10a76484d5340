"""What the documents of a world are like: counts, and on a map the streets that they cover."""
