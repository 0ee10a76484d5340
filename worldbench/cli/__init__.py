"""The command line: parsing, one function for each verb, and what a person sees when something goes wrong."""
