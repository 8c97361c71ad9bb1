"""A network and a head as one file that others run without us."""
