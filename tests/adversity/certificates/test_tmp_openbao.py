import signal
from dataclasses import dataclass
import pytest
from scenes.issuance import Scene, WRONG
from scenes.mortal import Mortals
from control.jobs import Done, Again
from control.certificates.obtain import STEPS

@dataclass
class Ca:
    directory_url: str
    http_port: int = 80
    ca_bundle: str = ""

@pytest.fixture(scope="module")
def mortals():
    with Mortals.start() as m:
        yield m

@pytest.fixture
async def scene(database, vault_mount, pki, dns_server, dns_zone):
    async with Scene.start(database, vault_mount, Ca(pki.directory_url), dns_server, dns_zone.origin) as scene:
        yield scene

@pytest.mark.parametrize("step", STEPS)
async def test_kill(scene, mortals, step):
    domain_id = await scene.domain()
    assert await mortals.live(scene.wiring, die_after=step) == signal.SIGKILL
    await scene.time_passes()
    assert await mortals.live(scene.wiring) is None
    await scene.assert_live(domain_id)
    assert len(await scene.orders_at_ca()) == 1
    assert await scene.count("acme_orders") == 1

async def test_wrong(scene):
    domain_id = await scene.domain()
    scene.answers[f"shop.{scene.zone}"] = WRONG
    print(await scene.replica.obtain())
    print(await scene.finding(domain_id))

async def test_lost(scene):
    domain_id = await scene.domain()
    class S(Exception): pass
    def stop(n):
        if n == "order_known": raise S
    with pytest.raises(S):
        await scene.replica.obtain(stop)
    await scene.replica.pool.execute("UPDATE acme_orders SET order_url = substr(order_url,1,length(order_url)-3)||'abc'")
    await scene.time_passes()
    print(await scene.replica.obtain())
    await scene.assert_live(domain_id)

async def test_revoke(scene, pki):
    domain_id = await scene.domain()
    assert await scene.replica.obtain() == Done()
    c, _ = await scene.stored(domain_id)
    await scene.delete(domain_id)
    class S(Exception): pass
    def stop(n):
        if n == "revoked": raise S
    job = await scene.replica.claim("revoke")
    with pytest.raises(S):
        await scene.replica.revoker(stop).revoke(job)
    await scene.replica.pool.execute("UPDATE certificates SET revoked_at = NULL")
    await scene.time_passes()
    assert await scene.replica.revoke() == Done()
    serial = ":".join(c.serial.zfill(len(c.serial)+len(c.serial)%2)[i:i+2] for i in range(0, len(c.serial)+len(c.serial)%2, 2))
    print(await pki.openbao.request("GET", f"pki/cert/{serial}"))
    print((await scene.row("certificates", domain_id)))

async def test_unknown_account(scene):
    domain_id = await scene.domain()
    client = await scene.replica.account.client()
    client.account_url = client.account_url[:-3] + "abc"
    print(await scene.replica.obtain())
    print(await scene.finding(domain_id))
    await scene.time_passes()
    print(await scene.replica.obtain())
    await scene.assert_live(domain_id)
