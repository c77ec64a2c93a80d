"""The code that runs inside the server's own namespaces, with the Python of the server's environment.

``supervisor`` is the first process: it starts the others and controls them for the tests. ``services`` has each
service's command and environment, ``processes`` finds them. ``store``, ``actors`` and ``api`` are served.
``horizon_widget`` is not here and cannot be imported.
"""
