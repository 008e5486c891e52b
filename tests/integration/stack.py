"""A broker with its own Redis, OpenAI and Supabase, all of which a test may break."""

import tempfile
import uuid
from pathlib import Path

from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import OpenAIStandIn
from deploy.local.supabase_auth import SupabaseStandIn
from tests.authority import authority
from tests.integration import ledger
from tests.integration.conftest import User, settings_for
from tests.integration.redis_process import RedisProcess
from tests.integration.starvation import Stopwatch
from tests.integration.waiting import within
from tests.network_path import NetworkPath

# seconds; short, so that tests of time-outs are fast
OPENAI_TIMEOUT = 1.0
CALL_TIMEOUT = 3.0
REDIS_TIMEOUT = 0.5  # the default
SUPABASE_TIMEOUT = 0.6
CLIENT_TIMEOUT = 1.5
IMPATIENT = {
    "OPENAI_CONNECT_TIMEOUT": str(OPENAI_TIMEOUT),
    "OPENAI_FIRST_BYTE_TIMEOUT": str(OPENAI_TIMEOUT),
    "OPENAI_SILENCE_TIMEOUT": str(OPENAI_TIMEOUT),
    "OPENAI_CALL_TIMEOUT": str(CALL_TIMEOUT),
    "OPENAI_MAX_RETRIES": "1",
    "SUPABASE_TIMEOUT": str(SUPABASE_TIMEOUT),
    "CLIENT_TIMEOUT": str(CLIENT_TIMEOUT),
    "DAILY_LIMIT": "100000",
    "WEB_CONCURRENCY": "2",
}


class Stack:
    """All processes of one broker. Started by the constructor; call `stop` at the end."""

    def __init__(self, *, through_path: bool = False, **environ: str) -> None:
        """`through_path`: the broker reaches Redis through `redis_path`, which can delay and cut."""
        self._folder = tempfile.TemporaryDirectory()
        self.redis = RedisProcess(Path(self._folder.name))
        self.redis_path = NetworkPath(self.redis.port)
        self.openai = OpenAIStandIn()
        self.openai.tls = authority().server_context()
        self.openai.token_delay = 0.002
        self.supabase = SupabaseStandIn(alg="ES256")
        self.openai.start_in_thread()
        self.supabase.start_in_thread()
        redis_url = f"redis://:@127.0.0.1:{self.redis_path.port}" if through_path else self.redis.url
        self.broker = BrokerProcess(settings_for(self.openai, self.supabase, redis_url) | IMPATIENT | environ)
        self.broker.wait_until("/ready")

    def user(self) -> User:
        """A new user."""
        user_id = str(uuid.uuid4())
        return User(user_id, self.broker.url, self.supabase.token_for(user_id))

    def users(self, number: int = 4) -> list[User]:
        """`number` new users."""
        return [self.user() for _ in range(number)]

    def metric(self, name: str, **labels: str) -> float:
        """The value of one of the broker's metrics; 0 if it does not exist."""
        return ledger.scrape(self.broker).get(ledger.name_of("gpt_broker_" + name, **labels), 0.0)

    def stopwatch(self) -> Stopwatch:
        """A stopwatch for one answer of the broker."""
        return Stopwatch([*self.broker.workers(), self.redis.pid])

    def log_count(self, event: str) -> int:
        """The number of log lines with this event."""
        return len(self.broker.log_lines(event))

    def wait_until_serving(self, user: User) -> None:
        """Wait until every worker serves again. Fails after 5 s."""
        within(ledger.SOON, lambda: all(user.post("/gpt-4o", {}).status_code == 400 for _ in range(8)))

    def wait_until_balanced(self, *, killed: bool = False, lost: int = 0) -> ledger.Ledger:
        """The ledger once it is balanced. `killed`, `lost`: see `Ledger.is_balanced`."""
        return ledger.wait_until_balanced(
            lambda: ledger.read(self.broker, self.redis.client, self.openai), killed=killed, lost=lost
        )

    def stop(self) -> None:
        """Stop all processes."""
        self.broker.end()
        self.openai.stop()
        self.supabase.stop()
        self.redis_path.close()
        self.redis.stop()
        self._folder.cleanup()
