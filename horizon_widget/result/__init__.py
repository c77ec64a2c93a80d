"""The result: a labelled map, its statistics, and the forms in which it is shown and saved. Needs no model."""
