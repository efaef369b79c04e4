"""Saving and loading: torch's file format, both ways, without torch and without running code from the file."""

from .load import load as load
from .save import save as save
