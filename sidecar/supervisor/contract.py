"""What the supervisor and a worker say to each other. Each imports it, and neither the other.

They share a socket pair, whose number the worker is given as an argument:

    worker → supervisor   READY       it answers under its addresses, instead of whoever did before
                          LOST        its name leads nowhere, so that no new Envoy reaches it: it needs a successor
    supervisor → worker   REPLACED    another one does now: finish what is under way, leave the rest to it
    either end closes                 the other is gone; a worker without its supervisor ends as for SIGTERM
"""

from __future__ import annotations

READY = b"ready\n"
LOST = b"lost\n"
REPLACED = b"replaced\n"

# Exit codes of a worker. Below zero: the signal that ended it.
ENDED = 0  # as it was told to
FAILED = 1  # a part that cannot be started again ended; without a supervisor, also that its name leads nowhere
UNUSABLE = 2  # settings or addresses
NOT_READY = 3  # it should have replaced another, and could not do so as well
TAKEN = 4  # another one answers under its addresses, by the supervisor's word or by its own eyes
