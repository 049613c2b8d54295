"""What a text is that must not serve as a shared secret."""

from base64 import b64encode

from jwt_deps.jose.key_forms import key_form


def test_what_is_encoded_again_and_again_is_no_key() -> None:
    """It is decoded a few times, and then taken for what it is: random text."""
    text = b"correct horse battery staple, and sixty characters of more words"
    for _ in range(6):
        text = b64encode(text)

        assert key_form(text.decode()) is None
