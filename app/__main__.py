"""Starts the command line, as `maywe` or `python -m app`. What is imported is no garbage: not to look it over for any,
neither while it is imported nor at the end, saves a third of the time of a short command."""

import atexit
import gc

gc.disable()
from app.cli import main  # noqa: E402

gc.enable()
atexit.register(gc.freeze)

if __name__ == "__main__":
    main(prog_name="maywe")
