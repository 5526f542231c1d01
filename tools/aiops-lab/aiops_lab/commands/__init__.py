"""Commands of the laboratory: each has its module here, which ``aiops`` imports when the command is used."""

COMMANDS = {
    "up": "Start the whole fleet on embedded parts and keep it running until Ctrl-C.",
    "demo": "Run the fleet, a simulated ship with faults on it, and watch the incidents.",
    "simulate": "Simulate a ship: normal traffic, named faults, and the truth about them.",
    "eval": "Score detection and correlation against known truth.",
    "bench": "Measure latency and throughput, and compare them with a raw relay over the same hops.",
}
