"""Who is calling, once a token has been checked."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """A signed-in user: Supabase's id for them, when their token ends (Unix time, seconds), and whether they
    have given no name (https://supabase.com/docs/guides/auth/auth-anonymous).
    """

    id: str
    expires_at: float
    is_anonymous: bool = False
