"""Temporally stable masks for a library of footage: ``python run_pipeline.py --help``."""

import sys

from steadymask.cli.main import command

if __name__ == "__main__":
    sys.exit(command())
