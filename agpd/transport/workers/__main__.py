"""`python -m agpd.transport.workers NUMBER TRUNK LISTENER`: one worker, started by the gateway and by nobody else.

It ends when the gateway does. Signals to the whole group of processes are the gateway's to obey, so they are ignored
before anything else is loaded.
"""

import signal
import sys

for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(_number, signal.SIG_IGN)

from agpd.transport.workers.process import run  # noqa: E402

if __name__ == "__main__":
    run(*map(int, sys.argv[1:]))
