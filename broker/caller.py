"""The user on whose behalf a request is made, once the token has been checked."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """A signed-in user.

    `id` is Supabase's user id, `expires_at` the end of the token in Unix time (seconds), `is_anonymous` whether the
    user signed in anonymously (https://supabase.com/docs/guides/auth/auth-anonymous), `plan` the plan that the token
    names, `client_id` the app that got the token from Supabase's OAuth server, None for the user's own session.
    """

    id: str
    expires_at: float
    is_anonymous: bool = False
    plan: str | None = None
    client_id: str | None = None
