"""Hidden Markov processes with exact beliefs."""
