"""Temporally stable masks for a library of footage: ``python run_pipeline.py --help``."""

import sys

from steadymask.cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
