"""How fast packs are served and read, beside nginx and other servers, on loopback.

    python -m bench.serving [--quick] [--nginx /usr/sbin/nginx]

All servers run at the same time over the same pack's file and take turns (A B C A B C …) with the
same client, so that a noisy machine hits all alike. ``material.py`` makes the pack, ``servers.py``
says how each server is started, ``contenders.py`` what each is asked; ``whole.py``, ``latency.py``,
``crowd.py`` and ``soak.py`` are the four measurements, ``load.py`` is the program that plays many
clients.
"""
