"""The speed of the engine and the widget: ``make bench``. Ratios compare times of one run."""
