"""``python -m steadymask``: the command, as ``steadymask`` and ``run_pipeline.py`` are."""

import sys

# Python puts the working folder first, where a file may be called as one of our packages.
sys.path.append(sys.path.pop(0))

from steadymask.cli.main import command

if __name__ == "__main__":
    sys.exit(command())
