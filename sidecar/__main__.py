"""The worker. `python -m sidecar` runs it alone; `nameplate sidecar` with a supervisor."""

from __future__ import annotations

import argparse
import sys

from sidecar.process import main

parser = argparse.ArgumentParser(prog="sidecar")
parser.add_argument("--replace", action="store_true", help="take over from the sidecar that has the addresses")
parser.add_argument("--supervisor", type=int, metavar="DESCRIPTOR", help="given by sidecar.supervisor")
arguments = parser.parse_args()
sys.exit(main(supervisor=arguments.supervisor, replace=arguments.replace))
