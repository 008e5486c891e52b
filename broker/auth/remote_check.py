"""Asking Supabase about a token: once at a time for each, and not without end because of one address."""

import time
from concurrent.futures import Future

from broker.auth.auth_server import RETRY, AuthServer
from broker.auth.questions import Questions
from broker.errors.base import Fault, SignInUnavailable, TokenInvalid
from broker.errors.limits import TooManyBadTokens


class Confirmations:
    """Supabase's word on tokens, as one worker gets it."""

    def __init__(self, auth_server: AuthServer) -> None:
        self._auth_server = auth_server
        self._questions = Questions()
        self._asked: dict[str, Future[None]] = {}

    def confirm(self, token: str, caller_id: str, address: str) -> None:
        """Returns if Supabase takes `token` for `caller_id`'s; whoever asks meanwhile shares the answer.

        Raises as `AuthServer.confirm`, and `TooManyBadTokens`.
        """
        if asked := self._asked.get(token):
            asked.result()
            return
        asked = self._asked[token] = Future()
        try:
            self._ask(token, caller_id, address)
        except BaseException as error:
            asked.set_exception(error if isinstance(error, Fault) else SignInUnavailable(retry_after=RETRY))
            raise
        else:
            asked.set_result(None)
        finally:
            del self._asked[token]

    def _ask(self, token: str, caller_id: str, address: str) -> None:
        if wait := self._questions.wait(address, time.monotonic()):
            raise TooManyBadTokens(retry_after=wait)
        try:
            self._auth_server.confirm(token, caller_id)
        except TokenInvalid:
            self._questions.note_refusal(address, time.monotonic())
            raise
