"""The address of a Valkey or Redis server, of revocations and of DPoP proofs that were used."""

from typing import Any

import pytest

from jwt_deps import ConfigurationError, JWTSettings
from tests.minting import SECRET
from tests.saying import everything_said


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("redis://:s3cret/1@localhost", id="slash-in-the-password"),
        pytest.param("redis://:s3cret@localhost:port", id="no-port"),
        pytest.param("redis://:s3cret@localhost?socket_timeout=soon", id="no-number"),
        pytest.param("redis://:s3cret@localhost?nonsense=1", id="unknown-option"),
        pytest.param("rediss://:s3cret@localhost?ssl_cert_reqs=maybe", id="unknown-value"),
        pytest.param("redis://:s3cret@localhost?protocol=3", id="another-protocol"),
        pytest.param("redis://:s3cret@localhost?decode_responses=true", id="texts"),
        pytest.param("redis://:s3cret@localhost?retry=3", id="text-for-an-object"),
        pytest.param("redis://:s3cret@localhost?retry_on_error=OSError", id="text-for-classes"),
        pytest.param("redis://:s3cret@localhost?maint_notifications_config=x", id="no-pool"),
        pytest.param("redis://:s3cret@localhost?socket_timeout=nan", id="no-time"),
        pytest.param("redis://:s3cret@localhost?socket_timeout=0", id="no-timeout"),
        pytest.param("redis://:s3cret@localhost?socket_connect_timeout=-1", id="negative"),
        pytest.param("redis://:s3cret@localhost?socket_connect_timeout=1e300", id="too-long"),
    ],
)
@pytest.mark.parametrize("name", ["revocation_url", "dpop_replay_store"])
def test_addresses_that_cannot_work(name: str, url: str) -> None:
    """They are refused when the settings are built, not with each request, and are not quoted."""
    values: Any = {name: url}
    with pytest.raises(ConfigurationError) as caught:
        JWTSettings(secret_key=SECRET, **values)

    assert caught.value.reason in {"revocation_url", "replay_store"}
    assert "s3cret" not in everything_said(caught.value)


OPTIONS = (
    "db=2&username=user&password=secret&client_name=a&protocol=2&max_connections=5"
    "&socket_timeout=1.5&socket_connect_timeout=3600&socket_keepalive=yes&health_check_interval=5"
)
TLS = (
    "ssl_ca_certs=/ca.pem&ssl_ca_path=/ca&ssl_ca_data=text&ssl_cert_reqs=required"
    "&ssl_check_hostname=yes&ssl_certfile=/a.pem&ssl_keyfile=/a.key&ssl_password=secret"
    "&ssl_ciphers=ALL"
)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(f"redis://localhost?{OPTIONS}", id="tcp"),
        pytest.param(f"rediss://localhost?{OPTIONS}&{TLS}", id="tls"),
        pytest.param("unix:///s?db=2&client_name=a&socket_timeout=1.5&protocol=2", id="socket"),
    ],
)
def test_options_of_an_address(url: str) -> None:
    """Those for database, credentials, timeouts, connections and TLS can be in it."""
    settings = JWTSettings(
        secret_key=SECRET,
        revocation_url=url,
        dpop="allowed",
        public_origin="https://api.example.com",
        dpop_replay_store=url,
    )

    assert settings.revocation_health() is not None
