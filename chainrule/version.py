"""The version of chainrule, and the version of torch whose behaviour it follows."""

__version__ = "0.1.0"
TORCH = "2.13.0"
