"""Models on another machine: this package's own code runs there, on an NDIF host, beside the model.

``remote_model`` and ``load``: what the rest of the package sees. What is sent: ``travel``, ``values``; ``on_host``,
which runs there first; ``hosted``, the model as it is there. ``capabilities``: what a host allows. ``host``: one
request and its answer, with ``exchange`` (one try), ``waiting``, ``news`` and ``faults``.
"""
