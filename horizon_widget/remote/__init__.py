"""Models on another machine: this package's own code runs there, on an NDIF host, next to the weights.

- ``load``, ``remote_model``, ``executor``, ``capabilities``: the model as the rest of the package sees it, and what its
  host allows.
- ``host``: requests to one host. ``attempt`` is one attempt at one request, ``waiting`` is how long each step may take
  and how far the request is, ``faults`` is what can go wrong.
- ``sending``, ``packing``: what is sent, as source text and plain values.
- ``on_host``: the code that runs on the host.
"""
