"""A cipher of nothing but the standard library, to see that what is stored goes through the one configured."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from itertools import count

from eventsourcing.persistence import Cipher
from eventsourcing.utils import Environment


class ToyCipher(Cipher):
    """Its key is CIPHER_KEY. Good for tests only."""

    def __init__(self, environment: Environment) -> None:
        self._key = environment.get("CIPHER_KEY", "").encode()

    def encrypt(self, plaintext: bytes) -> bytes:
        nonce = secrets.token_bytes(12)
        hidden = self._mixed(nonce, plaintext)
        return nonce + hmac.digest(self._key, nonce + hidden, "sha256") + hidden

    def decrypt(self, ciphertext: bytes) -> bytes:
        nonce, seal, hidden = ciphertext[:12], ciphertext[12:44], ciphertext[44:]
        if not hmac.compare_digest(seal, hmac.digest(self._key, nonce + hidden, "sha256")):
            raise RuntimeError("wrong key")  # as a real one's error, no ValueError
        return self._mixed(nonce, hidden)

    def _mixed(self, nonce: bytes, text: bytes) -> bytes:
        stream = b""
        for turn in count():
            if len(stream) >= len(text):
                break
            stream += hashlib.sha256(self._key + nonce + turn.to_bytes(4)).digest()
        return bytes(a ^ b for a, b in zip(text, stream, strict=False))
