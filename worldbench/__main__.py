"""`python -m worldbench`."""

import importlib.util
import sys

if __name__ == "__main__":
    if any(
        importlib.util.find_spec(f"worldbench.{room}") is None for room in ("envs", "baselines", "metrics", "figures")
    ):
        # In a checkout without an install the folders that install as worldbench.envs and so on are not to be found.
        print(
            (
                "worldbench: this checkout is not installed; `make run` sets it up, or: pip install "
                "-c constraints.txt -e ."
            ),
            file=sys.stderr,
        )
        sys.exit(2)
    from worldbench.cli.main import main

    sys.exit(main())
