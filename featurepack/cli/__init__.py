"""The ``featurepack`` command."""
