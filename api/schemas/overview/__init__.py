"""What operators look at."""

from __future__ import annotations

from collections.abc import Mapping

from api.schemas.overview import audit, deliveries, domains, explanations, figures, fleet, limits, replicas
from api.schemas.schema import Schema

SCHEMAS: Mapping[str, Schema] = {
    **figures.SCHEMAS,
    **fleet.SCHEMAS,
    **domains.SCHEMAS,
    **limits.SCHEMAS,
    **replicas.SCHEMAS,
    **deliveries.SCHEMAS,
    **audit.SCHEMAS,
    **explanations.SCHEMAS,
}
