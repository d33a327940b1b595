"""The command line: `python -m maxwhisper`, or `maxwhisper` where the package is installed."""

import os
import sys
from typing import NoReturn

from maxwhisper.cli import main


def run() -> NoReturn:
    """Run the command of `sys.argv`, then exit with its code."""
    exit_code = main()
    if sys.stdout is not None:  # it may be closed
        sys.stdout.flush()
        os.dup2(2, 1)  # libraries print while the process ends: that is not part of our output
    sys.exit(exit_code)


if __name__ == "__main__":
    run()
