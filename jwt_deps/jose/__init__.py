"""JOSE (RFC 7515 to 7518, 7638): base64url and JSON, the one JWS parser, keys, signatures."""

from .claim_path import check_claim_path, put_at, value_at, written_members
from .compact import CompactJWS, needs_extension, parse_compact
from .encoding import (
    decode_base64url,
    encode_base64url,
    is_numeric_date,
    parse_document,
    parse_object,
)
from .jwk import (
    FOR_ENCRYPTION,
    JWK_SET,
    NOT_SUPPORTED,
    STATIC_KEYS,
    is_pem,
    is_secret_jwk,
    jwk_public_key,
    jwk_unused,
    no_secret,
    pem_public_key,
    public_jwk,
    require_strong_secret,
    thumbprint,
)
from .key_forms import KeyForm, key_form
from .signatures import (
    ALGORITHMS,
    CURVES,
    HMAC_ALGORITHMS,
    PrivateKey,
    PublicKey,
    SignatureKey,
    algorithms_of,
    signature_key,
)
from .signing import SigningKey

__all__ = [
    "ALGORITHMS",
    "CURVES",
    "FOR_ENCRYPTION",
    "HMAC_ALGORITHMS",
    "JWK_SET",
    "NOT_SUPPORTED",
    "STATIC_KEYS",
    "CompactJWS",
    "KeyForm",
    "PrivateKey",
    "PublicKey",
    "SignatureKey",
    "SigningKey",
    "algorithms_of",
    "check_claim_path",
    "decode_base64url",
    "encode_base64url",
    "is_numeric_date",
    "is_pem",
    "is_secret_jwk",
    "jwk_public_key",
    "jwk_unused",
    "key_form",
    "needs_extension",
    "no_secret",
    "parse_compact",
    "parse_document",
    "parse_object",
    "pem_public_key",
    "public_jwk",
    "put_at",
    "require_strong_secret",
    "signature_key",
    "thumbprint",
    "value_at",
    "written_members",
]
