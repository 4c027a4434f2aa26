"""What the machine has."""

from airloom.machine import memory


def test_memory_is_the_machines_or_its_containers_if_that_is_less(tmp_path):
    installed = memory(tmp_path / "no-container")
    assert installed > 2**28
    limit = tmp_path / "memory.max"
    for told, expected in (("max", installed), (str(2**27), 2**27), (str(10 * installed), installed)):
        limit.write_text(told + "\n")
        assert memory(limit) == expected
