"""The question that a map answers, as values, and the facts of methods, metrics, baselines and sites."""
