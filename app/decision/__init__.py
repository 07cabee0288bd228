"""The decision core: pure, standard library only. No clock, no I/O, no framework."""
