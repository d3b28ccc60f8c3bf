"""tracker: a self-hosted email tracking service. This package root owns the version and nothing else."""

__version__ = "0.1.0"
