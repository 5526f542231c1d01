"""Scores of the packs' rules over single lines: ``aiops eval packs``.

``scores`` judges all samples twice: with every pack, and with the pack of the sample left out. That
shows what is seen of a device that nobody described. ``cases`` judges folders of field cases.
"""
