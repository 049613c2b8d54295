"""An ECDSA signature of nothing but zeros (CVE-2022-21449)."""

from itertools import product

from tests.minting import b64
from tests.sources import Service, each_source, minted

# The order of each curve's group (SEC 2): r and s have to lie between 1 and one less.
CURVES = {
    "ES256": (32, 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551),
    "ES384": (48, int("FF" * 24 + "C7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973", 16)),
    "ES512": (
        66,
        int(
            "01" + "FF" * 32 + "FA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409",
            16,
        ),
    ),
}


def reasons(source: str, algorithm: str, signatures: list[bytes]) -> set[str]:
    """Why a token with each of these signatures is refused."""
    service, (rest, _, _) = Service(source, algorithm), minted(algorithm, sub="x").rpartition(".")
    return {service.reason(f"{rest}.{b64(signature)}") for signature in signatures}


@each_source("ES256", "ES384", "ES512")
def test_degenerate_signature_is_refused(source: str, algorithm: str) -> None:
    """A signature with r or s of zero, or of the group's order, belongs to no key."""
    size, order = CURVES[algorithm]
    pairs = product((0, 1, order), repeat=2)
    signatures = [r.to_bytes(size, "big") + s.to_bytes(size, "big") for r, s in pairs]

    assert {"signature"} == reasons(source, algorithm, signatures)


@each_source("RS256", "PS256", "EdDSA", "HS256")
def test_zeros_are_no_signature_of_another_kind(source: str, algorithm: str) -> None:
    """Nor do zeros belong to a key of any other kind."""
    zeros = [bytes(length) for length in (1, 32, 64, 256)]

    assert {"signature"} == reasons(source, algorithm, zeros)
