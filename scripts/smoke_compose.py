"""Turn the resolved compose file of the fleet into one that runs without any image from a registry.

stdin: `docker-compose config`; stdout: nats, clickhouse and our five services, under other names,
so that a real fleet on the same engine is not touched. nats and clickhouse come from the image
LOCAL, which has nats-server and the embedded ClickHouse. Everything else is as shipped.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import yaml

PREFIX = "aiops-smoke"
DEPENDENCIES = ("nats", "clickhouse")
COMMAND = "aiops"
OURS = (
    "anomaly-detection",
    "incident-api",
    "correlation-service",
    "llm-enricher",
    "enrichment-service",
)


# The embedded ClickHouse checks no password and listens on loopback only. This passes connections
# of the smoke run's private network to it; its argument is the address to listen on.
RELAY = """
import asyncio, contextlib, signal, sys

async def pump(reader, writer):
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()

async def relay(reader, writer):
    try:
        inner_reader, inner_writer = await asyncio.open_connection('127.0.0.1', 9001)
    except OSError:
        return writer.close()
    await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

async def main():
    engine = await asyncio.create_subprocess_exec(
        sys.executable, '-m', 'aiops_lab.embedded.clickhouse',
        '--port', '9001', '--data', '/var/lib/clickhouse',
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, engine.terminate)
    await asyncio.start_server(relay, sys.argv[1], 9000)
    sys.exit(await engine.wait())

asyncio.run(main())
"""


def probe(code: str) -> dict[str, Any]:
    return {
        "test": ["CMD", "python", "-c", code],
        "interval": "2s",
        "timeout": "3s",
        "retries": 30,
    }


def nats(image: str) -> dict[str, Any]:
    return {
        "image": image,
        "user": "0:0",  # the volume belongs to root
        "healthcheck": probe(
            "from urllib.request import urlopen; urlopen('http://127.0.0.1:8222/healthz')"
        ),
    }


def clickhouse(image: str) -> dict[str, Any]:
    return {
        "image": image,
        "user": "0:0",
        "entrypoint": ["python", "-c", RELAY, "0.0.0.0"],
        "healthcheck": probe(
            "from clickhouse_driver import Client; Client('127.0.0.1', 9000).execute('SELECT 1')"
        ),
    }


def source(volume: str | dict[str, str]) -> str:
    """What is mounted: docker-compose 1 writes a volume in short form, version 2 in long form."""
    return volume.split(":")[0] if isinstance(volume, str) else volume["source"]


def on_host_network(service: dict[str, Any]) -> None:
    """For a kernel without bridges: all on the host's network, finding each other on loopback."""
    service["network_mode"] = "host"
    service.pop("networks", None)
    service.pop("ports", None)
    for key, value in service.get("environment", {}).items():
        value = str(value).replace("@clickhouse:", "@127.0.0.1:")
        value = value.replace("//incident-api:", "//127.0.0.1:")
        service["environment"][key] = value.replace("//nats:", "//127.0.0.1:")


def smoke(
    config: dict[str, Any], local: str, samples: str, api_port: int, network: str
) -> dict[str, Any]:
    services = {name: config["services"][name] for name in (*DEPENDENCIES, *OURS, COMMAND)}
    services["nats"] |= nats(local)
    services["clickhouse"] |= clickhouse(local)
    services["clickhouse"].pop(
        "ulimits", None
    )  # those of the server; a sandboxed engine may not raise them
    for name, service in services.items():
        if name != COMMAND:  # each of its runs is a container with a name of its own
            service["container_name"] = service["container_name"].replace("aiops", PREFIX, 1)
        service["restart"] = "no"  # what dies shall be seen
        service.pop("build", None)
        service.pop("ports", None)
        if name in OURS:
            service["healthcheck"] |= {"interval": "2s", "retries": 30}
        if network == "host":
            on_host_network(service)
    if network == "host":  # neither asks who comes
        services["nats"]["command"] += ["--addr", "127.0.0.1"]
        services["clickhouse"]["entrypoint"][-1] = "127.0.0.1"
    services[COMMAND]["volumes"].append(f"{samples}:/smoke:ro")
    if network != "host":
        services["incident-api"]["ports"] = [f"127.0.0.1:{api_port}:8081"]
    used = {source(volume) for s in services.values() for volume in s.get("volumes", [])}
    volumes: dict[str, dict[str, Any]] = {name: {} for name in config["volumes"] if name in used}
    result: dict[str, Any] = {"services": services, "volumes": volumes}
    if network != "host":
        result["networks"] = {"aiops": {"name": PREFIX}}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--local", required=True, help="image with the embedded parts")
    parser.add_argument("--samples", required=True, help="folder that the command sees as /smoke")
    parser.add_argument("--api-port", type=int, required=True)
    parser.add_argument("--network", choices=["bridge", "host"], required=True)
    args = parser.parse_args()
    config = yaml.safe_load(sys.stdin)
    yaml.safe_dump(smoke(config, args.local, args.samples, args.api_port, args.network), sys.stdout)


if __name__ == "__main__":
    main()
