"""Signed requests to one CA (RFC 8555 section 6): JWS, nonces, retries of badNonce, Retry-After, problems.

Synchronous; to be called from any thread. Nothing is logged here: requests are signed and answers may quote secrets.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import requests
from acme import jws
from josepy.errors import DeserializationError
from josepy.json_util import decode_b64jose
from josepy.jwa import ES256
from josepy.jwk import JWKEC
from requests.utils import parse_header_links
from urllib3.exceptions import HTTPError

from control.acme.directory import Directory
from control.acme.order import NotAcme
from control.acme.problems import BLANK, AcmeError, AcmeRefused, AcmeUnavailable, Problem

USER_AGENT = "nameplate/0.1"  # RFC 8555 section 6.1 wants one
CONNECT_TIMEOUT = 5.0  # seconds; three attempts of TCP
SOCKET_TIMEOUT = 20.0  # seconds between two packets of an answer
ANSWER_TIMEOUT = 60.0  # seconds for all of it: nobody can take the thread back
READ = 16 * 1024
MAX_ANSWER = 1024 * 1024  # bytes, unpacked; a page of a thousand orders has a tenth of it
# A CA that refuses every other nonce still answers within these, but for one request in 65,536.
NONCE_ATTEMPTS = 16
# Nonces of earlier answers that are kept; the oldest go first, because a CA forgets them.
NONCES_KEPT = 16
DIRECTORY_LIFETIME = 86400.0  # seconds
DIRECTORY_RETRY = 600.0  # seconds, while it cannot be read again
LONGEST_RETRY_AFTER = timedelta(days=7)  # the longest window of a public CA's rate limits

JOSE = "application/jose+json"
CHAIN = "application/pem-certificate-chain"


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer. `location`, `next_page`: absolute URLs."""

    body: bytes
    location: str | None
    next_page: str | None
    retry_after: timedelta | None

    def json(self) -> object:
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise AcmeUnavailable("an answer that is not JSON") from None


@dataclass(frozen=True, slots=True)
class Response:
    """As it came, whatever the status."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Network:
    """`key`: the account's, P-256. `ca_file`: what the CA's own TLS is checked with, PEM; None: certifi's list.

    The CA names the URLs of all that follows. Below a directory with TLS nothing is asked without it; a redirect,
    which could lead anywhere, is not followed.

    `clock`: monotonic seconds.
    """

    def __init__(
        self, directory_url: str, key: JWKEC, ca_file: str | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._directory_url = directory_url
        self._key = key
        self._clock = clock
        self._session = requests.Session()
        # Neither a proxy nor a CA bundle from the environment: the settings say what is used.
        self._session.trust_env = False
        self._session.verify = ca_file or True
        self._session.headers["User-Agent"] = USER_AGENT
        self._directory: Directory | None = None
        self._read_again = 0.0  # by the clock, if it was ever read
        self._nonces: deque[str] = deque(maxlen=NONCES_KEPT)

    def close(self) -> None:
        self._session.close()

    @property
    def host(self) -> str:
        """Of the CA."""
        return urlsplit(self._directory_url).hostname or ""

    @property
    def known(self) -> Directory | None:
        """The directory as it was read last."""
        return self._directory

    def directory(self) -> Directory:
        """Read once a day: the CA may move its resources or offer other profiles (section 7.1.1)."""
        if self._directory is None or self._clock() >= self._read_again:
            try:
                self._directory = Directory.from_json(_checked(self._send("GET", self._directory_url)).json())
                self._read_again = self._clock() + DIRECTORY_LIFETIME
            except (AcmeError, NotAcme):
                if self._directory is None:
                    raise
                self._read_again = self._clock() + DIRECTORY_RETRY
        return self._directory

    def url(self, resource: str) -> str:
        """Of a resource in the directory, such as `newOrder`."""
        url = self.directory().urls.get(resource)
        if url is None:
            raise AcmeUnavailable(f"a directory without {resource}")
        return url

    def get(self, url: str) -> Answer:
        """What anybody may read. Raises AcmeRefused, AcmeUnavailable."""
        return _checked(self._send("GET", url))

    def post(
        self, url: str, payload: Mapping[str, Any] | None, account_url: str | None, accept: str | None = None
    ) -> Answer:
        """Send a signed request. `payload`: None is POST-as-GET (section 6.3). `account_url`: None sends the key along.

        Raises AcmeRefused, AcmeUnavailable.
        """
        text = b"" if payload is None else json.dumps(payload).encode()
        headers = {"Content-Type": JOSE, **({"Accept": accept} if accept else {})}
        attempts = 1
        while True:
            body = jws.JWS.sign(text, self._key, ES256, self._nonce(), url, account_url).json_dumps()
            response = self._send("POST", url, data=body, headers=headers)
            self._keep_nonce(response)
            try:
                return _checked(response)
            except AcmeRefused as refused:
                # Section 6.5: sent again with the nonce of the refusal.
                if refused.problem.name != "badNonce" or attempts == NONCE_ATTEMPTS:
                    raise
                attempts += 1

    def _nonce(self) -> bytes:
        try:
            text = self._nonces.pop()
        except IndexError:
            response = self._send("HEAD", self.url("newNonce"))
            _checked(response)
            self._keep_nonce(response)
            try:
                text = self._nonces.pop()
            except IndexError:
                raise AcmeUnavailable("no nonce") from None
        decoded: bytes = decode_b64jose(text)
        return decoded

    def _keep_nonce(self, response: Response) -> None:
        nonce = response.headers.get("Replay-Nonce", "")
        try:
            decode_b64jose(nonce)
        except DeserializationError:
            return  # section 6.5.1: an invalid one is ignored
        if nonce:
            self._nonces.append(nonce)

    def _send(self, method: str, url: str, **arguments: Any) -> Response:
        if self._directory_url.startswith("https:") and not url.startswith("https:"):
            raise AcmeUnavailable("a URL without TLS")
        end = monotonic() + ANSWER_TIMEOUT
        body = bytearray()
        timeout = (CONNECT_TIMEOUT, SOCKET_TIMEOUT)
        try:
            with self._session.request(
                method, url, timeout=timeout, allow_redirects=False, stream=True, **arguments
            ) as response:
                while chunk := response.raw.read1(READ, decode_content=True):
                    body += chunk
                    if len(body) > MAX_ANSWER:
                        raise AcmeUnavailable("an answer that is too long")
                    if monotonic() > end:
                        raise AcmeUnavailable("an answer without an end")
                return Response(response.status_code, response.headers, bytes(body))
        except (requests.RequestException, HTTPError) as error:
            # `from None`: the library's error carries the request.
            raise AcmeUnavailable(type(error).__name__) from None


def retry_after(text: str | None, now: datetime) -> timedelta | None:
    """Seconds or an HTTP date (RFC 9110 section 10.2.3), between zero and LONGEST_RETRY_AFTER. Never raises."""
    if text is None:
        return None
    try:
        if text.strip().isascii() and text.strip().isdigit():
            delay = timedelta(seconds=min(int(text), int(LONGEST_RETRY_AFTER.total_seconds())))
        else:
            date = parsedate_to_datetime(text)
            delay = (date if date.tzinfo else date.replace(tzinfo=UTC)) - now
    except (ValueError, OverflowError):
        return None
    return min(max(delay, timedelta(0)), LONGEST_RETRY_AFTER)


def _checked(response: Response) -> Answer:
    """The answer, or its problem as an exception."""
    wait = retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
    if 200 <= response.status < 300:
        links = parse_header_links(response.headers.get("Link", ""))
        following = next((link.get("url") for link in links if link.get("rel") == "next"), None)
        return Answer(response.body, response.headers.get("Location"), following, wait)
    if response.status < 400:
        raise AcmeUnavailable(f"HTTP status {response.status}", wait)
    try:
        document = json.loads(response.body)
    except (ValueError, RecursionError):
        document = None
    problem = Problem.from_json(document, response.status)
    if problem.type == BLANK and (response.status >= 500 or response.status == 429):
        raise AcmeUnavailable(f"HTTP status {response.status}", wait)
    raise AcmeRefused(problem, wait)
