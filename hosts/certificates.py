"""Whose certificates are believed on HTTPS, and what is wrong with one that is not."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..core.errors import InputError
from .errors import UntrustedServer

BUNDLES = (
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSL_CERT_FILE",
)  # the environment's, in the order they are looked for
# OpenSSL's codes of verification errors.
UNKNOWN_ISSUER = (18, 19, 20, 21)
EXPIRED = (10,)
TRUST_IT = "--ca-file CERTIFICATE.pem with the server's own certificate or its authority's, if you trust it"


def trusted_certificates(ca_file: Path | None = None, environment: Mapping[str, str] = os.environ) -> str | None:
    """The file or folder of certificates to believe; None: requests' own. InputError where it is missing."""
    name = next((name for name in BUNDLES if environment.get(name)), "")
    path = ca_file or (Path(environment[name]) if name else None)
    if path is None:
        return None
    if not path.exists():
        raise InputError("there is no such file of certificates", where=str(path), to_try=name or "correct --ca-file")
    return str(path)


def refused_certificate(error: BaseException, url: str) -> UntrustedServer:
    """The error for a connection that TLS ended: what is wrong with the certificate, and what to do."""
    cause = next((part for part in _causes(error) if isinstance(part, ssl.SSLCertVerificationError)), None)
    if cause is None:
        plain = any(
            "WRONG_VERSION_NUMBER" in str(part) or "record layer failure" in str(part) for part in _causes(error)
        )
        if plain:
            return UntrustedServer("the server speaks plain HTTP", where=url, to_try="--url http://… in place of https")
        return UntrustedServer(f"no secure connection: {error}", where=url, to_try="look at the server's certificate")
    if cause.verify_code in UNKNOWN_ISSUER:
        return UntrustedServer(
            "the server's certificate is self-signed or of an authority that is not known here",
            where=url,
            to_try=TRUST_IT,
        )
    if cause.verify_code in EXPIRED:
        return UntrustedServer("the server's certificate has expired", where=url, to_try="renew it on the server")
    return UntrustedServer(
        f"the server's certificate is not believed: {cause.verify_message}",
        where=url,
        to_try="the name that it is for as --url",
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it wraps in its arguments and `reason`, and what it was raised from."""
    waiting, visited = [error], set()
    while waiting:
        part = waiting.pop(0)
        if not isinstance(part, BaseException) or id(part) in visited:
            continue
        visited.add(id(part))
        yield part
        waiting += [*part.args, getattr(part, "reason", None), part.__cause__, part.__context__]
