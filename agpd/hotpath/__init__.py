"""The hot path: the loops that touch every frame, compiled where that was possible when the package was built.

`_compiled` (Cython) and `_pure` have the same names and the same behaviour. The compiled one is taken if it is there,
unless the environment says `AGPD_PURE=1`. `COMPILED` tells which it is.
"""

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

# Not a try: an extension that is there and does not load is a fault that somebody has to see.
COMPILED: bool = os.environ.get("AGPD_PURE") != "1" and find_spec("agpd.hotpath._compiled") is not None

if TYPE_CHECKING or not COMPILED:
    from agpd.hotpath._pure import WORK_PER_TURN, Flow, Port, Taker, Turn, fan_out, forward
    from agpd.hotpath._pure_client import data_frame, deliveries
else:
    from agpd.hotpath._compiled import (
        WORK_PER_TURN,
        Flow,
        Port,
        Turn,
        data_frame,
        deliveries,
        fan_out,
        forward,
    )
    from agpd.hotpath._pure import Taker

__all__ = [
    "COMPILED",
    "WORK_PER_TURN",
    "Flow",
    "Port",
    "Taker",
    "Turn",
    "data_frame",
    "deliveries",
    "fan_out",
    "forward",
]
