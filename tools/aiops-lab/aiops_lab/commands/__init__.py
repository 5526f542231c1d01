"""Commands of the laboratory; ``aiops`` imports the module of a command when it is used."""

COMMANDS = {
    "up": "Start the whole fleet on embedded parts and keep it running until Ctrl-C.",
    "demo": "Run the fleet, a simulated ship with faults on it, and watch the incidents.",
    "simulate": "Simulate a ship: normal traffic, named faults, and the truth about them.",
    "eval": "Score detection and correlation against known truth.",
    "bench": "Measure latency and throughput as ratios to a raw relay over the same hops.",
}
