"""Models on another machine: this package's own code runs there, on an NDIF host, beside the model.

``travel`` (what is sent), ``on_host`` (what runs there first), ``host`` (sends it and waits), ``faults`` (what can go
wrong).
"""
