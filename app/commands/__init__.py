"""Commands of the command line, by subject; app.cli puts them together."""
