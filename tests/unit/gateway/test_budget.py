"""agpd/gateway/budget.py: the machine's memory or the control group's."""

import os

import pytest

from agpd.config import Config, Outbox
from agpd.gateway.budget import memory_limit_bytes, outbox_budget_bytes

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("text", "limit"), [("4096\n", 4096), ("max\n", MACHINE), (str(2**63), MACHINE), (None, MACHINE)]
)
def test_the_smaller_of_machine_and_control_group(tmp_path, text, limit):
    file = tmp_path / "memory.max"
    if text is not None:
        file.write_text(text)
    assert memory_limit_bytes((tmp_path / "absent", file)) == limit


def test_the_budget_is_a_quarter_unless_it_is_set():
    assert outbox_budget_bytes(Config()) == memory_limit_bytes() // 4
    assert outbox_budget_bytes(Config(outbox=Outbox(budget_bytes=12345678))) == 12345678
