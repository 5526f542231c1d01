"""Detectors: pure, one contract (``base.Detector``), one battery of checks in the tests."""
