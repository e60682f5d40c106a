"""A certificate obtained from Pebble, stored in OpenBao, recorded in PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

from control.jobs import Again, Done
from core.vault import pending_key_path


async def test_a_verified_domain_gets_a_certificate_and_goes_live(scene):
    domain_id = await scene.domain()
    assert await scene.replica.obtain() == Done()
    certificate = await scene.assert_live(domain_id)
    assert certificate.names == (f"shop.{scene.zone}",)
