"""Load generators. `python -m bench.load` is one of ours as a process; wrk and h2load are Debian's."""
