"""A key, a certificate or an address is never taken for a shared secret, whatever it looks like.

RFC 8725 §2.1: with a public key as the secret, each of its readers could sign HS256 tokens.
Consoles and documents of identity providers have keys in all of these forms.
"""

import base64
import itertools
import json
import secrets
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from jwt_deps import ConfigurationError, IssuerSettings, JWTSettings
from tests.minting import KeyPair, pair
from tests.saying import everything_said

SPKI = PublicFormat.SubjectPublicKeyInfo
#: A SubjectPublicKeyInfo (RFC 5280 §4.1) with an algorithm of a private enterprise, and a
#: PrivateKeyInfo (RFC 5958 §2), each up to its octets.
UNKNOWN = bytes.fromhex("3030300b06092b0601040183b20301032100")
UNKNOWN_PRIVATE = bytes.fromhex("3032020100300b06092b0601040183b203010420")

Look = Callable[[KeyPair], str]


def der(key: KeyPair) -> bytes:
    return key.private.public_key().public_bytes(Encoding.DER, SPKI)


@cache
def certificate(key: KeyPair) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.private.public_key(), 1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(pair("RSA").private, hashes.SHA256())
    )
    return made.public_bytes(Encoding.DER)


def openssh(key: KeyPair) -> str:
    return key.private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def private_der(key: KeyPair) -> bytes:
    return key.private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def b64(data: bytes | str) -> str:
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


def b64url(data: bytes | str) -> str:
    return b64(data).translate(str.maketrans("+/", "-_")).rstrip("=")


def wrapped(text: str) -> str:
    return "\n".join(text[start : start + 64] for start in range(0, len(text), 64))


def colons(data: bytes) -> str:
    return data.hex(":").upper()


def xxd(data: bytes) -> str:
    return dump(data, lambda offset, line: f"{offset:08x}: {line.hex(' ', 2):39}  {shown(line)}")


def od(data: bytes) -> str:
    return dump(data, lambda offset, line: f"{offset:07o} {line.hex(' ')}")


def hexdump(data: bytes) -> str:
    return dump(
        data,
        lambda offset, line: (
            f"{offset:08x}  {line[:8].hex(' '):23}  {line[8:].hex(' '):23}  |{shown(line)}|"
        ),
    )


def dump(data: bytes, written: Callable[[int, bytes], str]) -> str:
    starts = range(0, len(data), 16)
    return "".join(f"{written(start, data[start : start + 16])}\n" for start in starts)


def shown(line: bytes) -> str:
    return "".join(chr(octet) if 32 <= octet < 127 else "." for octet in line)


def signed(data: bytes) -> str:
    return str([octet - 256 if octet > 127 else octet for octet in data])


def text_of_openssl(key: KeyPair, first_line: str) -> str:
    lines = ":\n    ".join(der(key)[start : start + 15].hex(":") for start in (12, 27, 42))
    return f"{first_line}\npub:\n    {lines}\nASN1 OID: prime256v1\n"


def body(pem: str) -> str:
    return "".join(pem.split("\n")[1:-2])


PUBLIC = {
    "base64": lambda key: b64(der(key)),
    "base64-without-padding": lambda key: b64(der(key)).rstrip("="),
    "base64-in-lines": lambda key: wrapped(b64(der(key))),
    "base64-in-lines-of-windows": lambda key: wrapped(b64(der(key))).replace("\n", "\r\n"),
    "base64-with-escaped-lines": lambda key: wrapped(b64(der(key))).replace("\n", "\\n"),
    "base64-in-quotes": lambda key: f'"{b64(der(key))}"',
    "base64-in-a-url": lambda key: quote(b64(der(key)), safe=""),
    "base64-behind-a-name": lambda key: f"JWT_SECRET_KEY={b64(der(key))}",
    "base64url": lambda key: b64url(der(key)),
    "base64url-with-padding": lambda key: b64(der(key)).replace("+", "-").replace("/", "_"),
    "base64-twice": lambda key: b64(b64(der(key))),
    "base64-of-lines": lambda key: b64(wrapped(b64(der(key)))),
    "hexadecimal": lambda key: der(key).hex(),
    "hexadecimal-in-capitals": lambda key: der(key).hex().upper(),
    "hexadecimal-with-colons": lambda key: colons(der(key)),
    "hexadecimal-of-dotnet": lambda key: der(key).hex("-").upper(),
    "hexadecimal-with-0x": lambda key: f"0x{der(key).hex()}",
    "hexadecimal-with-0X": lambda key: f"0X{der(key).hex().upper()}",
    "hexadecimal-of-c": lambda key: ", ".join(f"0x{octet:02x}" for octet in der(key)),
    "hexadecimal-of-postgresql": lambda key: f"\\x{der(key).hex()}",
    "hexadecimal-with-escapes": lambda key: "".join(f"\\x{octet:02x}" for octet in der(key)),
    "octets-as-python-prints-them": lambda key: repr(der(key)),
    "octets-as-python-prints-a-bytearray": lambda key: repr(bytearray(der(key))),
    "octets-as-node-prints-them": lambda key: f"<Buffer {der(key)[:50].hex(' ')} ... more bytes>",
    "decimal": lambda key: str(list(der(key))),
    "decimal-of-go": lambda key: f"[]byte{{{', '.join(map(str, der(key)))}}}",
    "decimal-of-java": lambda key: signed(der(key)),
    "decimal-in-lines": lambda key: "\n".join(map(str, der(key))),
    "decimal-of-od": lambda key: dump(
        der(key), lambda offset, line: f"{offset:07o} " + "".join(f"{octet:4}" for octet in line)
    ),
    "xxd": lambda key: xxd(der(key)),
    "xxd-of-pem-without-its-first-line": lambda key: xxd(
        key.public_pem.partition("\n")[2].encode()
    ),
    "od": lambda key: od(der(key)),
    "od-of-pem": lambda key: od(key.public_pem.encode()),
    "hexdump": lambda key: hexdump(der(key)),
    "base64-of-hexdump": lambda key: b64(hexdump(der(key))),
    "text-of-openssl": lambda key: text_of_openssl(key, "Public-Key: (256 bit)"),
    "text-of-openssl-with-its-kind": lambda key: text_of_openssl(key, "ED25519 Public-Key:"),
    "base64-as-python-prints-it": lambda key: repr(b64(der(key)).encode()),
    "base64-of-pem-in-utf-16": lambda key: b64(key.public_pem.encode("utf-16")),
    "base64-of-pem-in-utf-16-le": lambda key: b64(key.public_pem.encode("utf-16-le")),
    "base64-of-pem-in-utf-16-be": lambda key: b64(key.public_pem.encode("utf-16-be")),
    "hexadecimal-of-base64": lambda key: b64(der(key)).encode().hex(),
    "base64-of-hexadecimal": lambda key: b64(der(key).hex()),
    "base64-of-pem": lambda key: b64(key.public_pem),
    "base64url-of-pem": lambda key: b64url(key.public_pem),
    "base64-of-pem-twice": lambda key: b64(b64(key.public_pem)),
    "base64-of-a-jwk": lambda key: b64(json.dumps(key.jwk())),
    "base64-of-a-jwk-set": lambda key: b64(json.dumps({"keys": [key.jwk()]})),
    "jwk": lambda key: json.dumps(key.jwk()),
    "jwk-in-lines": lambda key: json.dumps(key.jwk(), indent=2),
    "jwk-with-escapes": lambda key: json.dumps(key.jwk()).replace("kty", r"\u006bty"),
    "jwk-of-python": lambda key: str(key.jwk()),
    "jwk-in-yaml": lambda key: "\n".join(f"{name}: {text}" for name, text in key.jwk().items()),
    "jwk-set": lambda key: json.dumps({"keys": [key.jwk()]}),
    "jwks-in-an-array": lambda key: json.dumps([key.jwk()]),
    "jwk-of-certificates": lambda key: json.dumps({"a": {"x5c": [b64(certificate(key))]}}),
    "discovery-document": lambda _: json.dumps({"jwks_uri": "https://issuer.example/keys.json"}),
    "pem-one-dash-lost-in-front": lambda key: key.public_pem[1:],
    "pem-all-dashes-but-one-lost": lambda key: key.public_pem[4:],
    "pem-with-long-dashes": lambda key: key.public_pem.replace("--", "\u2014"),
    "pem-without-spaces": lambda key: key.public_pem[1:].replace(" ", ""),
    "pem-in-small-letters": lambda key: key.public_pem.replace("PUBLIC KEY", "public key")[1:],
    "pem-without-its-first-line": lambda key: key.public_pem.partition("\n")[2],
    "pem-without-its-last-line": lambda key: key.public_pem[1:].rpartition("-----END")[0],
    "xml": lambda key: f"<RSAKeyValue><Modulus>{b64(der(key)[33:])}</Modulus></RSAKeyValue>",
    "xml-declared": lambda _: '<?xml version="1.0"?>\n<EntityDescriptor>\n</EntityDescriptor>\n',
    "web-page": lambda _: "<!doctype html><html><title>Sign in</title></html>",
    "xml-encoded": lambda _: b64("<KeyInfo><KeyName>the issuer's key</KeyName></KeyInfo>"),
}
CERTIFICATES = {
    "x5c": lambda key: b64(certificate(key)),
    "x5c-in-an-array": lambda key: json.dumps([b64(certificate(key))]),
    "base64url": lambda key: b64url(certificate(key)),
    "hexadecimal": lambda key: certificate(key).hex(),
    "xxd": lambda key: xxd(certificate(key)),
    "text-of-openssl": lambda key: (
        f"Certificate:\n    Data:\n        {text_of_openssl(key, 'Public-Key: (256 bit)')}"
    ),
    "base64-of-pem": lambda key: b64(
        x509.load_der_x509_certificate(certificate(key)).public_bytes(Encoding.PEM)
    ),
    "pem-one-dash-lost": lambda key: (
        x509.load_der_x509_certificate(certificate(key)).public_bytes(Encoding.PEM)[1:].decode()
    ),
    "xml": lambda key: f"<X509Certificate>{b64(certificate(key))}</X509Certificate>"[1:],
}
OPENSSH = {
    "line": openssh,
    "line-with-a-comment": lambda key: f"{openssh(key)} alice@host",
    "line-with-options": lambda key: f"restrict {openssh(key)}",
    "bare-blob": lambda key: openssh(key).split()[1],
    "blob-in-base64url": lambda key: b64url(base64.b64decode(openssh(key).split()[1])),
    "base64-of-the-line": lambda key: b64(openssh(key)),
    "hexadecimal-blob": lambda key: base64.b64decode(openssh(key).split()[1]).hex(),
    "cut-off": lambda key: openssh(key)[:60],
    "no-key-behind-its-type": lambda key: f"{openssh(key).split()[0]} {'of alice, ' * 4}",
}
PRIVATE = {
    "base64": lambda key: b64(private_der(key)),
    "hexadecimal": lambda key: private_der(key).hex(),
    "decimal": lambda key: str(list(private_der(key))),
    "hexdump": lambda key: hexdump(private_der(key)),
    "text-of-openssl": lambda key: text_of_openssl(key, "RSA Private-Key: (2048 bit, 2 primes)"),
    "base64-of-pem": lambda key: b64(key.private_pem),
    "pem-one-dash-lost": lambda key: key.private_pem[1:],
}
FORMS = [
    pytest.param(kind, look, sentence, id=f"{name}-{label}-{kind}")
    for name, sentence, looks in (
        ("public", "is a public key and not in PEM", PUBLIC),
        ("certificate", "A certificate", CERTIFICATES),
        ("openssh", "in OpenSSH form", OPENSSH),
        ("private", "A private key", PRIVATE),
    )
    for label, look in looks.items()
    # The longest and the shortest in each form, and the others in the first of each.
    for kind in (
        "RSA",
        "Ed25519",
        *(("P-256", "P-521") if look is next(iter(looks.values())) else ()),
    )
]


DSA = dsa.generate_private_key(1024)  # noqa: S505 - more bits take half a second


def refusal(text: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as refused:
        JWTSettings(secret_key=text)
    return refused.value


@pytest.mark.parametrize(("kind", "look", "sentence"), FORMS)
def test_it_is_refused_as_a_secret(kind: str, look: Look, sentence: str) -> None:
    """The sentence says what it is and how to give it, and does not show it."""
    text = look(pair(kind))

    error = refusal(text)

    assert sentence in str(error)
    assert text[:40] not in everything_said(error)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            b64(ed448.Ed448PrivateKey.generate().public_key().public_bytes(Encoding.DER, SPKI)),
            id="ed448",
        ),
        pytest.param(
            b64(DSA.public_key().public_bytes(Encoding.DER, SPKI)),
            id="dsa",
        ),
        pytest.param(b64(UNKNOWN + bytes(32)), id="unknown-kind"),
        pytest.param(b64(der(pair("RSA-1024"))), id="weak-rsa"),
        pytest.param(
            b64(
                rsa.RSAPublicNumbers(65537, (1 << 2047) + 1)
                .public_key()
                .public_bytes(Encoding.DER, PublicFormat.PKCS1)
            ),
            id="pkcs1",
        ),
        *(
            pytest.param(
                encoded(
                    ec.generate_private_key(curve)
                    .public_key()
                    .public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
                ),
                id=f"point-{curve.name}-{encoded.__name__}",
            )
            for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1())
            for encoded in (b64, b64url, bytes.hex)
        ),
    ],
)
def test_keys_that_are_not_supported_are_keys(text: str) -> None:
    """They are public all the same."""
    assert "is a public key and not in PEM" in str(refusal(text))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("PGP PUBLIC KEY BLOCK", "public_key_not_pem"),
        ("PGP PRIVATE KEY BLOCK", "private_key"),
        ("CERTIFICATE REQUEST", "certificate"),
        ("SSH2 PUBLIC KEY", "openssh_key"),
    ],
)
def test_lines_around_what_cannot_be_read(kind: str, reason: str) -> None:
    """They say what it is, with a dash lost too."""
    text = f"---- BEGIN {kind} ----\n{b64(bytes(48))}\n---- END {kind} ----"

    assert reason == refusal(text).reason


def encrypted() -> bytes:
    """A private key with a password, in DER; each one is another (its salt)."""
    return pair("P-256").private.private_bytes(
        Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
    )


def test_base64_with_0x_in_it_is_read_as_it_is() -> None:
    """`0x` stands between octets in hexadecimal; taken out of base64, another key is left."""
    texts = (b64(encrypted()) for _ in itertools.count())
    for text in itertools.islice((text for text in texts if "0x" in text), 10):
        assert "A private key" in str(refusal(text))


@pytest.mark.parametrize(
    ("octets", "sentence"),
    [
        pytest.param(UNKNOWN_PRIVATE + bytes(32), "A private key", id="unknown-kind"),
        pytest.param(encrypted(), "A private key", id="encrypted"),
        pytest.param(certificate(pair("P-256"))[:-40], "A certificate", id="cut-off"),
    ],
)
def test_what_cannot_be_read_is_known_by_its_beginning(octets: bytes, sentence: str) -> None:
    """The versions of `cryptography` differ in what they say of it."""
    assert sentence in str(refusal(b64(octets)))


@pytest.mark.parametrize(
    "text",
    [
        "https://issuer.example/.well-known/jwks.json",
        "http://localhost:8080/realms/a/protocol/openid-connect/certs",
        "file:///run/secrets/issuer-public-key.pem",
        "data:application/x-pem-file;base64,AAAAAAAA",
        b64("https://issuer.example/.well-known/jwks.json"),
    ],
)
def test_an_address_is_no_secret(text: str) -> None:
    """The sentence names the settings for addresses."""
    error = refusal(text)

    assert ("address_as_secret", True) == (error.reason, "JWT_JWKS_URL (jwks_url)" in str(error))


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda text: JWTSettings(verification_keys=[text]), id="verification-keys"),
        pytest.param(
            lambda text: JWTSettings(secret_key=text, algorithm=["HS256", "RS256"]), id="both"
        ),
        pytest.param(lambda text: JWTSettings(secret_key=text, algorithm="HS512"), id="hs512"),
        pytest.param(
            lambda text: IssuerSettings(issuer="https://a", audience="a", secret_key=text),
            id="issuer",
        ),
    ],
)
def test_wherever_a_secret_is_given(build: Callable[[str], Any]) -> None:
    """One rule for all settings and algorithms."""
    with pytest.raises(ConfigurationError, match="A certificate"):
        build(b64(certificate(pair("RSA"))))


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        pytest.param(der, "public_key_not_pem", id="der"),
        pytest.param(lambda key: key.public_pem, "public_key_not_pem", id="pem"),
        pytest.param(lambda key: json.dumps(key.jwk()), "public_key_not_pem", id="jwk"),
        pytest.param(lambda key: b64(der(key)), "public_key_not_pem", id="der-in-base64"),
        pytest.param(certificate, "certificate", id="certificate"),
        pytest.param(openssh, "openssh_key", id="openssh"),
        pytest.param(private_der, "private_key", id="private"),
        pytest.param(lambda _: "https://issuer.example/keys.json", "address_as_secret", id="url"),
    ],
)
@pytest.mark.parametrize("name", ["secret_key", "verification_keys"])
def test_the_octets_of_a_secret_in_base64_are_no_key(
    octets: Callable[[KeyPair], bytes | str], reason: str, name: str
) -> None:
    """Keycloak's console shows a public key as DER in base64."""
    values: Any = {name: b64(octets(pair("RSA")))}

    with pytest.raises(ConfigurationError) as refused:
        JWTSettings(secret_key_encoding="base64", **values)

    assert reason == refused.value.reason


#: Octets that happen to have no sign but what a path of Windows has.
ESCAPED = (
    r"\xf2\x13\x00\xfc\x1f\xd6\xe4J\xd1\x08w\xf8\x87-I\xa1X\x9a\xc2Y-M\x0b\x8c\xe0\x9e\x16Vz\xa8e"
)


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param("0123456789" * 4, id="digits-are-json"),
        pytest.param('["a", "list", "of", "words", "in", "json"]', id="json-array"),
        pytest.param('{"a": "json object", "of": "no key at all"}', id="json-object"),
        pytest.param("[" * 100_000, id="json-that-never-ends"),
        pytest.param(b64(b"random bytes" * 4), id="base64-of-no-key"),
        pytest.param(b64("correct horse battery staple, begin of the keys"), id="base64-of-words"),
        pytest.param("correct-horse-begin-monkey-end-keyboard", id="words-with-dashes"),
        pytest.param("a < b and b > c, said the certificate of merit", id="words-with-brackets"),
        pytest.param("the secret: ssh, nobody knows; https is safe", id="words-with-schemes"),
        pytest.param("ends in the keys: a, b, c and many more of them", id="words-about-keys"),
        pytest.param("\x00" * 32, id="control-characters"),
        pytest.param("ü" * 32, id="not-ascii"),
        pytest.param((b"\x04" + bytes(64)).hex(), id="no-point-of-the-curve"),
        pytest.param((b"\x02" + bytes(32)).hex(), id="compressed-point"),
        pytest.param(f"bytearray(b'{ESCAPED}')", id="octets-as-Python-prints-them"),
        pytest.param(ESCAPED, id="octets-as-a-string-has-them"),
    ],
)
def test_a_secret_that_only_looks_odd_is_one(secret: str) -> None:
    """Random text may be JSON or base64 by chance."""
    assert {"HS256"} == JWTSettings(secret_key=secret).policy.keys.algorithms


@pytest.mark.parametrize("size", [32, 48, 64, 91, 256])
def test_random_secrets_are_secrets(size: int) -> None:
    """In the encodings that generators of secrets write."""
    for _ in range(5):
        octets = secrets.token_bytes(size)
        encoded = (b64(octets), b64url(octets), octets.hex(), wrapped(b64(octets)))
        printed = (*(show(octets) for show in (xxd, od, hexdump, signed)), repr(bytearray(octets)))
        for secret in (*encoded, *printed):
            assert {"HS256"} == JWTSettings(secret_key=secret).policy.keys.algorithms


@given(st.text(min_size=32) | st.binary(min_size=32).map(b64))
def test_any_text(text: str) -> None:
    """It is a secret, or refused with a sentence; no parser's error gets out."""
    with suppress(ConfigurationError):
        JWTSettings(secret_key=text)
