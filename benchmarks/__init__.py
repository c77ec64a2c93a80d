"""How fast the engine and the widget are: ``make bench``. Ratios are of times taken in one run."""
