"""An ECDSA signature of nothing but zeros (CVE-2022-21449)."""

import pytest

from jwt_deps.errors import SignatureError
from jwt_deps.settings import JWTSettings
from tests.minting import b64, claims, clock, mint, pair, verification_text
from tests.verifying import verify

# The order of each curve's group (SEC 2): r and s have to lie between 1 and one less.
CURVES = [
    (
        "ES256",
        32,
        0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    ),
    (
        "ES384",
        48,
        int("FF" * 24 + "C7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973", 16),
    ),
    (
        "ES512",
        66,
        int(
            "01" + "FF" * 32 + "FA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409",
            16,
        ),
    ),
]
CASES = [
    pytest.param(algorithm, r.to_bytes(size, "big") + s.to_bytes(size, "big"), id=label)
    for algorithm, size, order in CURVES
    for label, r, s in (
        (f"{algorithm}-r-0-s-0", 0, 0),
        (f"{algorithm}-r-0-s-1", 0, 1),
        (f"{algorithm}-r-1-s-0", 1, 0),
        (f"{algorithm}-r-1-s-1", 1, 1),
        (f"{algorithm}-r-n-s-n", order, order),
        (f"{algorithm}-r-n-s-0", order, 0),
        (f"{algorithm}-r-0-s-n", 0, order),
        (f"{algorithm}-r-1-s-n", 1, order),
    )
]


@pytest.mark.parametrize(("algorithm", "signature"), CASES)
def test_degenerate_signature_is_refused(algorithm: str, signature: bytes) -> None:
    """A signature with r or s of zero, or of the group's order, belongs to no key."""
    settings = JWTSettings(secret_key=verification_text(algorithm), algorithm=algorithm)
    kind = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[algorithm]
    signed = mint(claims(sub="admin"), pair(kind, "stranger"), algorithm)

    with pytest.raises(SignatureError):
        verify(f"{signed.rpartition('.')[0]}.{b64(signature)}", settings, clock=clock)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "EdDSA", "HS256"])
@pytest.mark.parametrize("length", [1, 32, 64, 256])
def test_zeros_are_no_signature_of_another_kind(algorithm: str, length: int) -> None:
    """Nor do zeros belong to a key of any other kind."""
    settings = JWTSettings(secret_key=verification_text(algorithm), algorithm=algorithm)
    unsigned = mint(claims(sub="admin"), b"", "HS256", header={"alg": algorithm})

    with pytest.raises(SignatureError):
        verify(f"{unsigned.rpartition('.')[0]}.{b64(bytes(length))}", settings, clock=clock)
