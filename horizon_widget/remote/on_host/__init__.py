"""The code that runs on a host: ``bootstrap`` imports the rest there, ``tasks`` is what a request calls, ``model``."""
