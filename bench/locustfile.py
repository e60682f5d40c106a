"""Load by Locust, for performance engineers: pick a mix of users, how many, how they come, and how many names.

    nameplate bench edge --out DIR                 something to aim at; it writes DIR/edge.json
    locust -f bench/locustfile.py --target DIR/edge.json --mix checks=4,request=2,api=1 --headless -u 20 -t 60s

The options of ours are below "Nameplate" in `locust -f bench/locustfile.py --help`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from locust import events
from locust.argument_parser import LocustArgumentParser

from bench.users import shapes  # the module: Locust would use a shape that it finds here, wanted or not
from bench.users.api import ApiUser
from bench.users.checks import CheckUser
from bench.users.cost import ClientCost
from bench.users.handshakes import ColdHandshakeUser, UnknownNameUser, WarmHandshakeUser
from bench.users.https import ConnectionLaneUser, RequestLaneUser
from bench.users.target import Target

DEFAULT_SECONDS = 60
USERS = {
    "checks": CheckUser,
    "request": RequestLaneUser,
    "connection": ConnectionLaneUser,
    "warm": WarmHandshakeUser,
    "cold": ColdHandshakeUser,
    "unknown": UnknownNameUser,
    "api": ApiUser,
}


def parse_mix(text: str) -> dict[str, int]:
    """`checks=4,request=2`: users by name and how many of each to one another. Raises ValueError."""
    mix = {}
    for part in text.split(","):
        name, _, weight = part.partition("=")
        if name not in USERS:
            raise ValueError(f"{name!r} is none of {', '.join(USERS)}")
        mix[name] = int(weight or 1)
    return mix


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser) -> None:
    group = parser.add_argument_group("Nameplate")
    group.add_argument("--target", required=True, help="What to aim at: the file of `nameplate bench edge`.")
    group.add_argument("--mix", default="checks=1", help=f"Users and their shares; there are {', '.join(USERS)}.")
    group.add_argument("--names", type=int, default=0, help="Check only so many names; default: all of the target.")
    group.add_argument("--think", type=float, default=0.0, help="Seconds that a user waits after each task.")
    group.add_argument("--requests-a-visit", type=int, default=10, help="Requests on each connection of a visitor.")
    group.add_argument("--shape", choices=sorted(shapes.SHAPES), help="How users come; then -t is how long it takes.")


@events.init.add_listener
def prepare(environment: Any, **_facts: Any) -> None:
    options = environment.parsed_options
    target = Target.read(Path(options.target))
    if options.names:
        target = replace(target, names=min(options.names, target.names))
    environment.target = target
    mix = parse_mix(options.mix)
    for name, weight in mix.items():
        USERS[name].weight = weight
    environment.user_classes = [USERS[name] for name in mix]
    if options.shape:
        environment.shape_class = shapes.Shaped(
            shapes.SHAPES[options.shape], options.num_users or 1, options.run_time or DEFAULT_SECONDS
        )
    ClientCost(environment)
