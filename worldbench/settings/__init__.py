"""Settings: defaults < preset < recipe < command line, resolved into a job. Every accepted option is used, every
unknown one is refused."""
