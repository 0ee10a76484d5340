"""From a job to its record: preparing, running, scoring, and the pools that run many jobs."""
