"""Settings of a portal that a test starts as processes of its own: a real broker, and a quick sweeper."""

import os

from tests.settings import *  # noqa: F403
from wbcportal.settings import CELERY_BEAT_SCHEDULE, STATE_DIR

EMBEDDED = f"redis+socket://{STATE_DIR / 'broker.sock'}"
ON_SERVERS = os.environ.get("TEST_DATABASE") == "postgresql"
CELERY_BROKER_URL = os.environ.get("TEST_REDIS_URL", EMBEDDED) if ON_SERVERS else EMBEDDED
CELERY_BEAT_SCHEDULE = {
    "sweep-runs": {**CELERY_BEAT_SCHEDULE["sweep-runs"], "schedule": 1.0},
}
RUN_HEARTBEAT_SECONDS = 1
RUN_LOST_AFTER_SECONDS = 8
