"""The functions of the package, as users call them; each loads what it needs."""
