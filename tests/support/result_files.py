"""Writing results as the export does: in parts, then joined."""

import shutil
from contextlib import ExitStack

from stages.media.results.encode import results

ALL = ("png", "ffv1", "overlay")


def write_all(folder, timeline, frames, formats=ALL, source=None, *, largest=255, length=10**9):
    """Write labels and picture of every frame, in parts of `length` frames."""
    made = results(formats, timeline, source, alpha=0.5, largest_label=largest)
    parts, stack = [], ExitStack()
    for t, (labels, picture) in enumerate(frames):
        if t % length == 0:
            stack.close()
            parts.append(folder / f".part-{t}")
            parts[-1].mkdir()
            writers = [stack.enter_context(result.part(parts[-1], t)) for result in made]
        for writer in writers:
            writer.write(labels, picture)
    stack.close()
    for result in made:
        result.join(parts, folder)
    for part in parts:
        shutil.rmtree(part)
