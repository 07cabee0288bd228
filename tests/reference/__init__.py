"""The decision model of domain.md once more, as simply as it can be said, to compare the real one with."""
