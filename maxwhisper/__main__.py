"""`python -m maxwhisper`."""

import os
import sys

from maxwhisper.cli import main

if __name__ == "__main__":
    exit_code = main()
    sys.stdout.flush()
    os.dup2(2, 1)  # what libraries print while the process ends is not part of our output
    sys.exit(exit_code)
