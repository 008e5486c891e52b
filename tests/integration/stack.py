"""A broker with a Redis, an OpenAI and a Supabase of its own, all of which a test may ill-treat."""

import tempfile
import uuid
from pathlib import Path

from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import OpenAIStandIn
from deploy.local.supabase_auth import SupabaseStandIn
from tests.integration import books
from tests.integration.conftest import User, settings_for
from tests.integration.redis_process import RedisProcess
from tests.integration.slow_path import SlowPath
from tests.integration.waiting import within

# seconds; short, so that a fault shows quickly
OPENAI_TIMEOUT = 1.0
REDIS_TIMEOUT = 0.5  # the default
SUPABASE_TIMEOUT = 0.6
CLIENT_TIMEOUT = 1.5
IMPATIENT = {
    "OPENAI_CONNECT_TIMEOUT": str(OPENAI_TIMEOUT),
    "OPENAI_FIRST_BYTE_TIMEOUT": str(OPENAI_TIMEOUT),
    "OPENAI_SILENCE_TIMEOUT": str(OPENAI_TIMEOUT),
    "OPENAI_CALL_TIMEOUT": "6",
    "OPENAI_MAX_RETRIES": "1",
    "SUPABASE_TIMEOUT": str(SUPABASE_TIMEOUT),
    "CLIENT_TIMEOUT": str(CLIENT_TIMEOUT),
    "DAILY_LIMIT": "100000",
    "WEB_CONCURRENCY": "2",
}


class Stack:
    """Everything, started; `stop` it."""

    def __init__(self, *, by_slow_path: bool = False, **environ: str) -> None:
        """`by_slow_path`: the broker reaches Redis by `way_to_redis`."""
        self._folder = tempfile.TemporaryDirectory()
        self.redis = RedisProcess(Path(self._folder.name))
        self.way_to_redis = SlowPath(self.redis.port)
        self.openai = OpenAIStandIn()
        self.openai.token_delay = 0.002
        self.supabase = SupabaseStandIn(alg="ES256")
        self.openai.start_in_thread()
        self.supabase.start_in_thread()
        redis_url = f"redis://:@127.0.0.1:{self.way_to_redis.port}" if by_slow_path else self.redis.url
        self.broker = BrokerProcess(settings_for(self.openai, self.supabase, redis_url) | IMPATIENT | environ)
        self.broker.wait_until("/ready")

    def user(self) -> User:
        """A new user."""
        user_id = str(uuid.uuid4())
        return User(user_id, self.broker.url, self.supabase.token_for(user_id))

    def users(self, number: int = 4) -> list[User]:
        """So many new users."""
        return [self.user() for _ in range(number)]

    def metric(self, name: str, **labels: str) -> float:
        """A sample of the broker's metrics, 0 where there is none."""
        return books.scrape(self.broker).get(books.name_of("gpt_broker_" + name, **labels), 0.0)

    def said(self, event: str) -> int:
        """How often the broker's log has this event."""
        return len(self.broker.journal(event))

    def wait_until_well(self, user: User) -> None:
        """Return once every worker serves again; fails if that takes more than 5 s."""
        within(books.SOON, lambda: all(user.post("/gpt-4o", {}).status_code == 400 for _ in range(8)))

    def settle_up(self, *, killed: bool = False) -> books.Books:
        """The books, once they balance; `killed`: a worker was, so that some of its calls have no end."""
        return books.settle_up(lambda: books.read(self.broker, self.redis.client, self.openai), killed=killed)

    def stop(self) -> None:
        """End everything."""
        self.broker.end()
        self.openai.stop()
        self.supabase.stop()
        self.way_to_redis.close()
        self.redis.stop()
        self._folder.cleanup()
