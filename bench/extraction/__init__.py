"""How fast features are extracted, beside the loop that a user would write.

    python -m bench.extraction [--quick] [--images cifar10-100.zip]

Contenders take turns (A B C A B C …), so that a noisy machine hits all alike. Each is a process of
its own: ``naive.py`` the plain torch loop, also with our allocator; ``thingsvision_loop.py`` the
library of that name; ``ours.py`` a service and a worker; ``forward_limit.py`` our engine alone.
"""
