"""The question that a map answers, as values; what methods and metrics there are."""
