"""Access tokens: look-up, verification, authentication, claims, issuing (RFC 7519, 6750, 9068)."""

from .authenticate import (
    authenticate_claims,
    authenticate_token,
    is_no_jwt,
    verified_principal,
    verify_token,
)
from .claims import ClaimMapping, Claims, digest_of
from .explain import HINTS, Explanation, Finding, Outcome, explain_token, explanation_of
from .issue import ClaimNames, access_token_claims, create_access_token, load_signing_key
from .lookup import SUBPROTOCOL, check_found, find_token, sent_with_dpop
from .principal import STATE_NAMES, Principal, client_id_of
from .scopes import All, are_parameters, filled_scopes, is_scope, parameters_of
from .verify import unverified_expiry

__all__ = [
    "HINTS",
    "STATE_NAMES",
    "SUBPROTOCOL",
    "All",
    "ClaimMapping",
    "ClaimNames",
    "Claims",
    "Explanation",
    "Finding",
    "Outcome",
    "Principal",
    "access_token_claims",
    "are_parameters",
    "authenticate_claims",
    "authenticate_token",
    "check_found",
    "client_id_of",
    "create_access_token",
    "digest_of",
    "explain_token",
    "explanation_of",
    "filled_scopes",
    "find_token",
    "is_no_jwt",
    "is_scope",
    "load_signing_key",
    "parameters_of",
    "sent_with_dpop",
    "unverified_expiry",
    "verified_principal",
    "verify_token",
]
