"""``python -m scanner``."""

import sys

from scanner.cli import main

if __name__ == "__main__":  # workers import the parent's main module again
    sys.exit(main())
