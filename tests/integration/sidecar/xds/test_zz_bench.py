import asyncio, json, os, time
import pytest
from scenes import secrets, handshakes
from scenes.secrets import PLATFORM
from embedded.envoy import Envoy
from embedded.ports import free_port
from sidecar.xds import stream as st

N=10000
def rss(pid, key="VmRSS"):
    for l in open(f"/proc/{pid}/status"):
        if l.startswith(key): return int(l.split()[1])/1024
def cpu(pid):
    f=open(f"/proc/{pid}/stat").read().split(); return (int(f[13])+int(f[14]))/100

@pytest.mark.parametrize("slice_", [500, 20000, 100])
async def test_bench(vault_mount, state_dir, slice_, monkeypatch, eventually):
    monkeypatch.setattr(st, "SLICE", slice_)
    async with secrets.room(vault_mount, state_dir) as room:
        await room.store_platform(); await room.platform.look()
        room.directory.capacity = 1_000_000
        names=[f"n{i}.{PLATFORM}" for i in range(N)]
        for i in range(N): room.add_platform(f"n{i}")
        port=free_port()
        conf=json.loads(handshakes.configuration(room.socket, port))
        conf["static_resources"]["listeners"][0]["filter_chains"][0]["transport_socket"]["typed_config"]["common_tls_context"]["custom_tls_certificate_selector"]["typed_config"]["prefetch_secret_names"]=names
        conf["stats_config"]={"stats_matcher":{"exclusion_list":{"patterns":[{"prefix":"sds."},{"safe_regex":{"regex":r"listener\..*\.on_demand_secret\.ssl\..*"}}]}}}
        me=os.getpid(); c0=cpu(me); t=time.time()
        async with Envoy.start(state_dir, json.dumps(conf)) as envoy:
            await eventually(lambda: room.service.counters.served==N, timeout=60)
            print("\nload", N, "in", round(time.time()-t,2), "our cpu", cpu(me)-c0, "envoy cpu", cpu(envoy.pid), "rss", rss(envoy.pid))
            await asyncio.sleep(1)
            # push to all
            c0=cpu(me); t=time.time(); e0=cpu(envoy.pid)
            await room.store_platform(); await room.platform.look()
            # latency of the loop while pushing
            worst=0
            while room.service.counters.pushes < N:
                a=time.perf_counter(); await asyncio.sleep(0.001); worst=max(worst, time.perf_counter()-a-0.001)
            print("push", round(time.time()-t,2), "our cpu", round(cpu(me)-c0,2), "worst loop lag ms", round(worst*1e3,1))
            await asyncio.sleep(3); print("envoy cpu", cpu(envoy.pid)-e0)
            e0=cpu(envoy.pid); c0=cpu(me); t=time.time(); base=rss(envoy.pid)
            peak=0; worst=0
            room.remove(*names); t_rm=time.time()-t
            while room.service.counters.subscriptions>0 and time.time()-t<30:
                a=time.perf_counter(); await asyncio.sleep(0.001); worst=max(worst, time.perf_counter()-a-0.001)
                peak=max(peak,rss(envoy.pid))
            print("slice",slice_,"remove", round(time.time()-t,2), "on_change", round(t_rm,3), "envoy cpu", round(cpu(envoy.pid)-e0,2), "our", round(cpu(me)-c0,2), "rss", base, "peak", peak, rss(envoy.pid,"VmHWM"), "lag ms", round(worst*1e3,1))
