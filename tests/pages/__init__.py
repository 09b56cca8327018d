"""Every fenced command and snippet of every page, run as it is written or listed with a reason.

``page`` reads a page into blocks. ``process`` runs a page's blocks one after the other in a folder
that has the files they name (``files``), once for what a PC does and once, under NVIDIA's bindings
and an emulated driver (tests/classic), for what a device does. ``listed`` says what is not run, and
why; ``grammar`` holds those lines to the parsers all the same.
"""
