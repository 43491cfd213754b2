"""How much memory this process may use: the machine's, or less where a control group says so."""

import os
from pathlib import Path

from agpd.config import Config

OUTBOX_SHARE = 4  # a quarter, unless the configuration names a figure
_CGROUP_FILES = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_limit_bytes(files: tuple[Path, ...] = _CGROUP_FILES) -> int:
    """The smaller of the machine's memory and the limit of the control group."""
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in files:
        try:
            text = file.read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            limit = min(limit, int(text))
    return limit


def outbox_budget_bytes(config: Config) -> int:
    """What all outboxes together may hold."""
    return config.outbox.budget_bytes or memory_limit_bytes() // OUTBOX_SHARE
