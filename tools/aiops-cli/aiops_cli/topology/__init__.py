"""Devices and links in files of other programs: neighbours, leases, exports of inventories."""
