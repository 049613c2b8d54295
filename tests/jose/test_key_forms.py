"""What a text is that must not serve as a shared secret."""

from base64 import b64encode

from jwt_deps.jose.key_forms import key_form


def test_what_is_encoded_again_and_again_is_no_key() -> None:
    """It is decoded a few times, and then taken for what it is: random text."""
    text = b"correct horse battery staple, and sixty characters of more words"
    for _ in range(6):
        text = b64encode(text)

        assert key_form(text.decode()) is None


def test_a_compressed_point_is_no_key() -> None:
    """Half of all texts of its length are one, and good secrets among them."""
    generator = "036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"  # of P-256

    assert key_form(generator) is None
