"""Where everything is, and a line to copy for each step, for whoever wants to look behind the story."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from demo import shell
from demo.door import Door
from demo.story import Story
from embedded.ports import LOOPBACK
from embedded.stack import PLATFORM, Stack

ONE_MORE = "blog.mybrand.test"


async def prepare_one_more(story: Story) -> None:
    """The CNAME, to the tenant's own target, of a name that is not registered yet: then it proves itself."""
    target = story.shop.body["instructions"]["subdomain"]["value"]
    await story.stack.dns.replace(ONE_MORE, "CNAME", target)


def print_signposts(stack: Stack, story: Story, console: Console, door: Door) -> None:
    file = shell.write(stack, story.brand.token, stack.identity.operator_token(lifetime=24 * 3600))
    roots = stack.home / "roots.pem"
    token = stack.home / "token"
    token.touch(mode=0o600)
    token.write_text(story.brand.token)
    addresses = Table(title="\nEverything stays up until Ctrl-C", title_justify="left", show_edge=False)
    addresses.add_column("what")
    addresses.add_column("where", overflow="fold")
    for what, where in (
        ("REST API", stack.api_url),
        ("OpenAPI", f"http://{LOOPBACK}:{stack.api_port}/openapi.json"),
        ("control: metrics", f"http://{LOOPBACK}:{stack.api_port}/metrics"),
        ("sidecar: health, metrics", f"{stack.admin_url}/readyz  {stack.admin_url}/metrics"),
        ("Envoy, https / http", f"{LOOPBACK}:{stack.https_port} / {LOOPBACK}:{stack.http_port}"),
        ("Envoy's admin socket", str(stack.home / "envoy" / "admin.sock")),
        ("PostgreSQL", stack.dsn()),
        ("OpenBao", stack.openbao.url),
        ("DNS", stack.dns.address),
        ("logs", str(stack.home)),
    ):
        addresses.add_row(what, where)
    console.print(addresses)
    console.print(f"\n[bold]To copy[/] (the token of {story.brand.name} is in {token})")
    api = f'curl -sS -H "Authorization: Bearer $(cat {token})"'
    visit = f"curl -sS --cacert {roots}"
    for step, line in (
        (
            f"register (the CNAME of {ONE_MORE} is in the demo's zone, so it proves itself within seconds)",
            f'{api} -H "Content-Type: application/json" {stack.api_url}/domains -d \'{{"hostname": "{ONE_MORE}"}}\'',
        ),
        ("visit it", f"{visit} {resolve(ONE_MORE, stack)}/"),
        ("list", f"{api} {stack.api_url}/domains"),
        ("how it stands", f"{api} {stack.api_url}/domains/{story.shop.id}"),
        ("verify now", f"{api} -X POST {stack.api_url}/domains/{story.shop.id}/verify"),
        ("visit", f"{visit} {resolve(story.shop.hostname, stack)}/"),
        ("try to forge a tenant", f"{visit} -H 'x-tenant-id: admin' {resolve(story.shop.hostname, stack)}/"),
        ("a name nobody registered", f"{visit} {resolve('nobody.example.test', stack)}/"),
        ("the platform's own name", f"{visit} {resolve(f'tenant-{story.brand.tenant_id}.{PLATFORM}', stack)}/"),
        ("plain HTTP", f"curl -sSi -H 'Host: {story.shop.hostname}' http://{LOOPBACK}:{stack.http_port}/"),
        ("delete", f"{api} -X DELETE {stack.api_url}/domains/{story.shop.id}"),
        ("would a host be served, and why: nameplate explain", f"(. {file}; explain {story.shop.hostname})"),
        ("is all well that control needs: nameplate doctor", f"(. {file}; doctor)"),
        ("the same of the sidecar and its Envoy", f"(. {file}; doctor_sidecar)"),
    ):
        console.print(f"\n[dim]# {step}[/]", soft_wrap=True)
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    console.print("\n[bold]To open in a browser[/], each as from a button of the platform's own page")
    for name in door.people:
        console.print(f"{door.of(name)}", soft_wrap=True, highlight=False, markup=False)
    console.print(f"\n[bold]In another terminal[/], to go on as docs/start.md does: . {file}", soft_wrap=True)


def resolve(hostname: str, stack: Stack) -> str:
    return f"--resolve {hostname}:{stack.https_port}:{LOOPBACK} https://{hostname}:{stack.https_port}"
