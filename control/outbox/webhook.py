"""One POST to a webhook, and what came of it. A connection of its own, to an address that was judged just before.

No proxy, no redirect, no cookie, no second request: what the settings allow is what happens.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import h11

from api.endpoints import AddressRefused
from control.outbox.addresses import WebhookUrl, parse_url
from control.outbox.guard import Address
from control.outbox.message import Answer, Failed, Message, Receiver, Taken
from control.outbox.signing import Secrets, headers
from control.outbox.target import TargetError, Targets
from control.vault import VaultError
from core.errors import NameplateError

USER_AGENT = "Nameplate-Webhooks/1"
CONNECT_TIMEOUT = 5.0  # seconds for one address, its TLS included
DEADLINE = 15.0  # seconds for all of it; Standard Webhooks recommends 15 to 30
MAX_HEAD = 32 * 1024
# Of the answer's body nothing is kept; this much is read, so that an honest server can end what it writes.
MAX_BODY = 64 * 1024
BODY_TIMEOUT = 2.0
READ = 16 * 1024
LONGEST_RETRY_AFTER = timedelta(days=1)

HOLDS = frozenset({429, 503})  # with Retry-After: it speaks of the server, not of the one message


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    headers: Mapping[str, str]


class WebhookSender:
    """`trust`: of receivers' TLS. `insecure`: http is let through, for development. `now`: for the signatures."""

    def __init__(
        self,
        secrets: Secrets,
        targets: Targets,
        trust: ssl.SSLContext,
        now: Callable[[], datetime],
        *,
        insecure: bool = False,
        deadline: float = DEADLINE,
    ) -> None:
        self._secrets = secrets
        self._targets = targets
        self._trust = trust
        self._now = now
        self._insecure = insecure
        self._deadline = deadline

    async def send(self, receiver: Receiver, message: Message) -> Answer:
        """Never raises for what a receiver, the DNS or Vault does; ends within the deadline."""
        try:
            async with asyncio.timeout(self._deadline):
                return await self._send(receiver, message)
        except TimeoutError:
            return Failed("timeout", f"No answer came within {self._deadline:g} s.")

    async def _send(self, receiver: Receiver, message: Message) -> Answer:
        body = message.body()
        try:
            url = parse_url(receiver.address, insecure=self._insecure, allowed=self._targets.allowed)
            keys = await self._secrets.in_force(receiver.id, receiver.secret_version or 0)
            addresses = await self._targets.addresses(url.host)
        except VaultError:
            return Failed("secret_unavailable", "The signing secret could not be read.", ours=True)
        except (AddressRefused, TargetError) as error:
            return Failed(error.code, error.message)
        except NameplateError as error:
            return Failed(error.code, "The signing secret is missing: rotate it.", ours=True)
        signed = headers(message.name, body, keys, self._now())
        return judge(await self._post(url, addresses, signed, body), self._now())

    async def _post(
        self, url: WebhookUrl, addresses: Sequence[Address], signed: Mapping[str, str], body: bytes
    ) -> Response | Failed:
        failure = Failed("unreachable", f"{url.host} has no address.")
        for address in addresses:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    reader, writer = await asyncio.open_connection(
                        str(address),
                        url.port,
                        limit=MAX_HEAD,
                        ssl=self._trust if url.secure else None,
                        server_hostname=url.host if url.secure else None,
                    )
            except ssl.SSLCertVerificationError as error:
                failure = Failed("certificate_refused", f"The certificate of {url.host}: {error.verify_message}.")
            except ssl.SSLError:
                failure = Failed("tls_failed", f"{url.host} and we found no common TLS.")
            except TimeoutError:
                failure = Failed("connect_timeout", f"{address} did not take a connection in time.")
            except OSError:
                failure = Failed("unreachable", f"{address} takes no connections at port {url.port}.")
            else:
                return await _exchange(reader, writer, _request(url, signed, body), body)
        return failure


def _request(url: WebhookUrl, signed: Mapping[str, str], body: bytes) -> h11.Request:
    return h11.Request(
        method="POST",
        target=url.path,
        headers=[
            ("Host", url.authority),
            ("User-Agent", USER_AGENT),
            ("Accept", "*/*"),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
            *signed.items(),
        ],
    )


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: h11.Request, body: bytes
) -> Response | Failed:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
    try:
        for event in (request, h11.Data(data=body), h11.EndOfMessage()):
            writer.write(connection.send(event) or b"")
        while True:
            answer = connection.next_event()
            if isinstance(answer, h11.Response):
                break
            if answer is h11.NEED_DATA:
                connection.receive_data(await reader.read(READ))
            elif not isinstance(answer, h11.InformationalResponse):
                return Failed("no_answer", "The connection ended without an answer.")
        # Its head is the answer, whatever becomes of its body.
        with suppress(TimeoutError, OSError, h11.RemoteProtocolError):
            async with asyncio.timeout(BODY_TIMEOUT):
                await _drain(reader, connection)
        named = {name.decode("ascii"): value.decode("latin-1") for name, value in answer.headers}
        return Response(answer.status_code, named)
    except (h11.RemoteProtocolError, OSError):
        return Failed("no_answer", "The connection ended without an answer in HTTP/1.1.")
    finally:
        writer.transport.abort()


async def _drain(reader: asyncio.StreamReader, connection: h11.Connection) -> None:
    read = 0
    while read <= MAX_BODY:
        event = connection.next_event()
        if isinstance(event, h11.Data):
            read += len(event.data)
        elif event is h11.NEED_DATA:
            connection.receive_data(await reader.read(READ))
        else:
            return


def judge(response: Response | Failed, now: datetime) -> Answer:
    """2xx: delivered. 410: the endpoint is gone. All else may pass."""
    if isinstance(response, Failed):
        return response
    status = response.status
    if 200 <= status < 300:
        return Taken()
    if status == 410:
        return Failed("gone", "It answered 410: nothing is wanted there any more.", status, final=True, gone=True)
    wait = retry_after(response.headers.get("retry-after"), now)
    if 300 <= status < 400:
        return Failed("redirected", f"It answered {status}: redirects are not followed.", status, wait)
    return Failed("refused", f"It answered {status}.", status, wait, hold=status in HOLDS and wait is not None)


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """From seconds or a date (RFC 9110 section 10.2.3), within bounds; None for anything else. Total."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:12])
        return timedelta(seconds=min(seconds, LONGEST_RETRY_AFTER.total_seconds()))
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(moment - now, timedelta(0)), LONGEST_RETRY_AFTER)
