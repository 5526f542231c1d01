"""The shared vocabulary and the runtime of the platform; services never import each other."""

__version__ = "3.0.0"
