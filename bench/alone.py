"""`python -m bench.alone serve`: Maywe with every choice in a unit of work of its own, against which is measured what a
shared commit gives."""

from app.cli import main
from app.doors.dependencies import Write

Write.is_once = property(lambda _: True)  # type: ignore[assignment]  # these are never put together

if __name__ == "__main__":
    main()
