"""Subjects of the streams, when releases with more or fewer of them take turns on one broker."""

from __future__ import annotations

from aiops_core.models import Incident
from tests.conftest import NatsServer, nats_bus


async def test_a_stream_gets_the_subjects_that_it_lacks_and_keeps_those_of_a_later_release(
    own_nats: NatsServer,
) -> None:
    """An older process, be it only a command, must not keep a newer one from publishing."""
    async with nats_bus(own_nats.url) as bus:
        name = await bus.js.find_stream_name_by_subject(Incident.subject)
        config = (await bus.js.stream_info(name)).config
        ours = set(config.subjects or ())
        config.subjects = [*sorted(ours)[1:], "notes.>"]
        await bus.js.update_stream(config)
        await bus.js.publish("notes.taken", b"of a later release")
    async with nats_bus(own_nats.url) as bus:
        info = await bus.js.stream_info(name)
        assert set(info.config.subjects or ()) == ours | {"notes.>"}
        assert info.state.messages == 1
        await bus.js.publish("notes.taken", b"of a later release")
