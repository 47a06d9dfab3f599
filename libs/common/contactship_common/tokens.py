"""Access tokens: JWT, HS256 and nothing else."""

import time
from dataclasses import dataclass
from uuid import UUID

import jwt

from contactship_common.models.base import new_id
from contactship_common.settings import ApiSettings

_ALGORITHM = "HS256"
_TYPE = "access"


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What a verified access token says. `expires_at` is in Unix seconds."""

    user_id: UUID
    email: str
    role: str
    expires_at: int
    family: UUID | None


def issue_access_token(
    settings: ApiSettings, *, user_id: UUID, email: str, role: str, family: UUID | None = None
) -> tuple[str, int]:
    """A signed token and its life in seconds."""
    now = int(time.time())
    claims = {
        "sub": email,
        "email": email,
        "uid": str(user_id),
        "role": role,
        "typ": _TYPE,
        "iat": now,
        "exp": now + settings.jwt_expires_in,
        "jti": new_id().hex,
    }
    if family is not None:
        claims["fam"] = str(family)
    return jwt.encode(claims, settings.jwt_secret, algorithm=_ALGORITHM), settings.jwt_expires_in


def verify_access_token(settings: ApiSettings, token: str) -> AccessClaims | None:
    """The claims of a valid token; None for anything else: wrong signature, algorithm, type, expired, incomplete."""
    for secret in filter(None, (settings.jwt_secret, settings.jwt_secret_previous)):
        try:
            claims = jwt.decode(
                token,
                secret,
                algorithms=[_ALGORITHM],
                # `iat` must be there, but may lie in the future: clocks of two machines differ by a second or two.
                options={"require": ["exp", "iat", "sub", "email", "uid", "role", "jti"], "verify_iat": False},
            )
            if claims.get("typ") != _TYPE:
                return None
            family = UUID(claims["fam"]) if "fam" in claims else None
            return AccessClaims(
                UUID(claims["uid"]), str(claims["email"]), str(claims["role"]), int(claims["exp"]), family
            )
        except jwt.InvalidSignatureError:
            continue  # perhaps it was signed with the secret before a rotation
        except (jwt.InvalidTokenError, KeyError, ValueError, TypeError, AttributeError, OverflowError):
            return None
    return None
