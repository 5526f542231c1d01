"""The platform's shared vocabulary and its runtime; services build on it and never import each other."""

__version__ = "3.0.0"
