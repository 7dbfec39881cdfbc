"""Events are packed into batches of limited size, in their order, and unpacked again."""

from chassis.messaging import pack, unpack

from .lamps import body, event


def test_a_body_holds_up_to_a_hundred_events_in_their_order():
    events = [event(watts) for watts in range(250)]

    bodies = pack(events)

    assert [len(ids) for ids, _ in bodies] == [100, 100, 50]
    assert [e.id for _, text in bodies for e in unpack(text)] == [e.id for e in events]


def test_a_body_is_split_by_its_size_too():
    bodies = pack([event("x" * 100_000) for _ in range(5)])

    assert [len(ids) for ids, _ in bodies] == [2, 2, 1]
    assert all(len(text) <= 256 * 1024 for _, text in bodies)


def test_unknown_members_are_ignored():
    (read,) = unpack(body(event(7)).replace(b'"subject"', b'"dataschema":"/lamps","subject"'))

    assert bytes(read.data) == b'{"watts":7}'
