"""Maywe against ceilings on the same machine, in the same minute: pairs of short, alternating, pinned runs."""
