"""What works on this machine and, if asked, on the NDIF host: ``horizon-widget doctor``.

``finding`` (one line of it), ``here`` (this machine), ``there`` (the host), ``command`` (arguments and printing).
"""
