"""agpd/crypto/forks.py: a child of a fork has no keys."""

import os

from agpd.crypto import forks


class Holder:
    def __init__(self):
        self.has_key = True

    def drop(self):
        self.has_key = False


def test_the_child_drops_what_is_alive():
    holder, dead = Holder(), Holder()
    forks.guard(holder)
    forks.guard(dead)
    del dead
    child = os.fork()
    if not child:
        os._exit(7 if not holder.has_key else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert holder.has_key
