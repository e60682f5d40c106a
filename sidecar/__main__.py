from __future__ import annotations

import sys

from sidecar.app import main

sys.exit(main())
