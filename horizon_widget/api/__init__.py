"""The functions that users call. Each module loads what it needs."""
