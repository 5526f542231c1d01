"""``python -m aiops_core.cli`` is ``aiops``."""

from aiops_core.cli import main

main()
