"""`python -m worldbench`."""

import sys

from worldbench.cli import main

if __name__ == "__main__":
    sys.exit(main())
