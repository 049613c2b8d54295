"""Why was a request refused, and by which check? The closed lists behind every error."""

from enum import StrEnum

__all__ = ["Reason", "Step", "step_of"]


class Reason(StrEnum):
    """Why a request was refused: the closed list that logs, errors and tests share."""

    MISSING = "missing"
    REPEATED_CREDENTIALS = "repeated_credentials"
    EMPTY_CREDENTIALS = "empty_credentials"
    CROSS_SITE = "cross_site"
    TOO_LARGE = "too_large"
    NOT_COMPACT = "not_compact"
    ENCRYPTED = "encrypted"
    ENCODING = "encoding"
    HEADER = "header"
    ALGORITHM = "algorithm"
    TYPE = "type"
    CRITICAL = "critical"
    KEY_ID = "key_id"
    UNKNOWN_KEY = "unknown_key"
    SIGNATURE = "signature"
    PAYLOAD = "payload"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    CLAIM_MISSING = "claim_missing"
    CLAIM_INVALID = "claim_invalid"
    CLAIM_FOREIGN = "claim_foreign"
    CONFIRMATION = "confirmation"
    NOT_BOUND = "not_bound"
    DOWNGRADED = "downgraded"
    CERTIFICATE = "certificate_binding"
    PROOF_MISSING = "proof_missing"
    PROOF_REPEATED = "proof_repeated"
    PROOF_MALFORMED = "proof_malformed"
    PROOF_CLAIMS = "proof_claims"
    PROOF_TYPE = "proof_type"
    PROOF_ALGORITHM = "proof_algorithm"
    PROOF_KEY = "proof_key"
    PROOF_PRIVATE_KEY = "proof_private_key"
    PROOF_BINDING = "proof_binding"
    PROOF_SIGNATURE = "proof_signature"
    PROOF_METHOD = "proof_method"
    PROOF_TARGET = "proof_target"
    PROOF_TOKEN = "proof_token"  # noqa: S105 - a name
    PROOF_NONCE = "proof_nonce"
    PROOF_TIME = "proof_time"
    PROOF_REPLAYED = "proof_replayed"
    REPLAYS_UNAVAILABLE = "replays_unavailable"
    REVOKED = "revoked"
    REVOCATION_UNAVAILABLE = "revocation_unavailable"
    SCOPE = "scope"
    ACR = "acr"
    AUTH_TIME = "auth_time"
    KEYS_UNAVAILABLE = "keys_unavailable"


class Step(StrEnum):
    """Which check refused a request, in the order in which they are made.

    The order is the same wherever an issuer's keys come from.
    """

    CREDENTIALS = "credentials"
    SIZE = "size"
    FORM = "form"
    HEADER = "header"
    PAYLOAD = "payload"
    ISSUER = "issuer"
    TIMES = "times"
    SUBJECT = "subject"
    AUDIENCE = "audience"
    CONFIRMATION = "confirmation"
    KEY = "key"
    SIGNATURE = "signature"
    REVOCATION = "revocation"
    PROOF = "proof"
    CLAIMS = "claims"
    SCOPES = "scopes"
    AUTHENTICATION = "authentication"


# Which step a reason belongs to; of the reasons that several steps share, the error says it.
_STEPS = {
    Reason.MISSING: Step.CREDENTIALS,
    Reason.REPEATED_CREDENTIALS: Step.CREDENTIALS,
    Reason.EMPTY_CREDENTIALS: Step.CREDENTIALS,
    Reason.CROSS_SITE: Step.CREDENTIALS,
    Reason.TOO_LARGE: Step.SIZE,
    Reason.NOT_COMPACT: Step.FORM,
    Reason.ENCRYPTED: Step.FORM,
    Reason.ENCODING: Step.FORM,
    Reason.HEADER: Step.HEADER,
    Reason.ALGORITHM: Step.HEADER,
    Reason.TYPE: Step.HEADER,
    Reason.CRITICAL: Step.HEADER,
    Reason.KEY_ID: Step.HEADER,
    Reason.UNKNOWN_KEY: Step.KEY,
    Reason.KEYS_UNAVAILABLE: Step.KEY,
    Reason.SIGNATURE: Step.SIGNATURE,
    Reason.PAYLOAD: Step.PAYLOAD,
    Reason.EXPIRED: Step.TIMES,
    Reason.NOT_BOUND: Step.CONFIRMATION,
    Reason.DOWNGRADED: Step.CONFIRMATION,
    Reason.CERTIFICATE: Step.CONFIRMATION,
    Reason.REVOKED: Step.REVOCATION,
    Reason.REVOCATION_UNAVAILABLE: Step.REVOCATION,
    Reason.SCOPE: Step.SCOPES,
    Reason.ACR: Step.AUTHENTICATION,
    Reason.AUTH_TIME: Step.AUTHENTICATION,
    Reason.REPLAYS_UNAVAILABLE: Step.PROOF,
    **{reason: Step.PROOF for reason in Reason if reason.startswith("proof_")},
}


def step_of(reason: Reason) -> Step:
    """The step that a reason belongs to; where several steps share it, the error knows better."""
    return _STEPS.get(reason, Step.CLAIMS)
