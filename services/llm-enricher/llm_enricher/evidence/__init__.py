"""What is known around an incident: lines, probes, changes, maintenance, within a time budget."""
