"""Count the third-party vectors with the expected result."""

import json
from functools import partial

from jwt_deps.keys import KeySet
from tests.minting import unb64
from tests.vectors import test_rfc7520, test_wycheproof
from tests.vectors.thirdparty import ACCEPTED, outcome

__all__ = ["figures"]


def figures() -> dict[str, dict[str, int]]:
    """For each set of vectors: how many there are, and how many agree."""
    return {
        "Wycheproof, JSON Web Signature": _counted(_signatures()),
        "Wycheproof, JSON Web Key": _counted(_keys()),
        "RFC 7520 §4 and RFC 8037 appendix A, compact serialization": _counted(_cookbook()),
    }


def _counted(agreeing: list[bool]) -> dict[str, int]:
    return {"vectors": len(agreeing), "agree": sum(agreeing)}


def _signatures() -> list[bool]:
    own = test_wycheproof
    return [
        own._agrees(vector, outcome(own._text(vector), partial(own._configure, group)))
        for group in own.SIGNATURES["testGroups"]
        for vector in group["tests"]
    ]


def _keys() -> list[bool]:
    own = test_wycheproof
    found = []
    for group in own.KEYS["testGroups"]:
        for vector in group["tests"]:
            algorithm = json.loads(unb64(vector["jws"].partition(".")[0]))["alg"]
            jwks = group.get("public") or group["private"]
            build = partial(KeySet.build, [algorithm], jwks=jwks)
            found.append(own._agrees(vector, outcome(own._text(vector), build)))
    return found


def _cookbook() -> list[bool]:
    own = test_rfc7520
    return [
        outcome(example["output"]["compact"], partial(own._configure, example)) == ACCEPTED
        for example in own.COMPACT.values()
    ]
