"""Groups: the running product of random elements."""
