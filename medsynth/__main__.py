"""`python -m medsynth`, the same as the `medsynth` command."""

import sys

from medsynth.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
