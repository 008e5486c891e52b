"""Asks OpenAI once per model name and API, with every parameter that the older endpoints and common SDKs send.

Shows before a change of MODELS which parameters a model refuses, and the cost of asking. A refused request is free; an
accepted one has a short prompt and a short answer.
"""

from collections.abc import Iterator
from typing import Any

from broker.active_calls import OpenCalls
from broker.doctor.findings import Finding
from broker.doctor.rehearsal_requests import MOST_TOKENS, Api, Outcome, apis
from broker.errors.base import Fault
from broker.errors.openai import RefusedByOpenAI
from broker.openai.client import Body, Upstream
from broker.openai.prepared_call import Charge, PreparedCall
from broker.openai.refused_parameters import EFFORT
from broker.settings.prices import NANO
from broker.settings.settings import Settings

MOST_TRIES = 12  # of one call: OpenAI names one refused parameter at a time
# OpenAI refuses these without the first one
_WITH_TOOLS = frozenset({"tools", "tool_choice", "parallel_tool_calls"})


class _Bill:
    """The tokens and nano-dollars of the rehearsal."""

    def __init__(self) -> None:
        self._tokens = self._nano = 0
        self._is_estimated = False
        self._unpriced: dict[str, None] = {}

    def add(self, charge: Charge, model: str) -> None:
        """Add one call."""
        self._tokens += charge.usage.total
        self._nano += charge.nano_dollars or 0
        self._is_estimated |= charge.is_estimated
        if charge.nano_dollars is None:
            self._unpriced[model] = None

    def finding(self) -> Finding:
        """Return the finding with the tokens and the cost."""
        about = "about " if self._is_estimated else ""
        spent = f"the rehearsal took {about}{self._tokens} tokens and cost {about}${self._nano / NANO:.6f}"
        if not self._unpriced:
            return Finding(spent)
        todo = f"that is without {', '.join(self._unpriced)}: the price is not known, set PRICES"
        return Finding(spent, todo, is_remark=True)


def rehearse(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each name in MODELS and each API, and one for the tokens and dollars of all of them."""
    upstream, calls, bill = Upstream(settings, lambda _: None), OpenCalls(settings.openai_call_timeout), _Bill()
    try:
        for name in settings.models:
            for api in apis(settings, upstream):
                prepared = api.prepare(name)
                prepared.demand(settings)  # looks up the price
                yield _Rehearsal(name, api, prepared, calls).run(bill)
    finally:
        upstream.close()
    yield bill.finding()


class _Rehearsal:
    """One model name on one API."""

    def __init__(self, name: str, api: Api, prepared: PreparedCall, calls: OpenCalls) -> None:
        self._model = str(prepared.body["model"])
        self._subject = f"{name if name == self._model else f'{name} as {self._model}'}, {api.name}"
        self._api = api
        self._prepared = prepared
        self._calls = calls

    def run(self, bill: _Bill) -> Finding:
        """Ask until OpenAI answers, without the parameters that it refused."""
        body, refused = self._prepared.take_request(), list[str]()
        for _ in range(MOST_TRIES):
            try:
                outcome = self._ask(body)
            except RefusedByOpenAI as refusal:
                param = _param_of(refusal, body)
                if param not in body or param in ("model", "stream"):
                    return Finding(self._subject, f"OpenAI refuses the request: {refusal.sentence}")
                refused.append(param)
                removed = _WITH_TOOLS if param == "tools" else {param}
                body = {name: value for name, value in body.items() if name not in removed}
            except Fault as fault:
                return Finding(self._subject, f"it cannot be asked ({fault.code}): {fault.sentence}")
            else:
                bill.add(self._prepared.charge(outcome.usage, MOST_TOKENS), self._model)
                return self._finding(outcome.changes, refused)
        return Finding(self._subject, f"OpenAI refuses more than {MOST_TRIES} parameters: {', '.join(refused)}")

    def _ask(self, body: Body) -> Outcome:
        call = self._calls.begin(None)
        try:
            return self._api.ask(body, call)
        finally:
            call.close()

    def _finding(self, dropped: tuple[str, ...], refused: list[str]) -> Finding:
        subject = self._subject + (f" (left out: {', '.join(dropped)})" if dropped else "")
        if not refused:
            return Finding(subject)
        nulls = ", ".join(f'"{param}": null' for param in refused)
        todo = (
            f"it refuses {', '.join(refused)}: clients that send that get a 400, unless MODELS takes it out ({nulls})"
        )
        return Finding(subject, todo)


def _param_of(refusal: RefusedByOpenAI, body: Body) -> str:
    """Return the refused parameter. If it is an effort that the request does not have, the tools are the reason."""
    error: Any = refusal.details.get("openai")
    param = str(error.get("param") or "") if isinstance(error, dict) else ""
    return "tools" if param == EFFORT and EFFORT not in body else param
