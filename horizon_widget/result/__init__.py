"""The result: a labelled map, its statistics, and the forms in which it is shown and kept. Needs no model."""
