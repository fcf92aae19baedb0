"""Settings of a portal that a test starts as processes of its own: a real broker, and a quick sweeper."""

from tests.settings import *  # noqa: F403
from wbcportal.settings import CELERY_BEAT_SCHEDULE, STATE_DIR

CELERY_BROKER_URL = f"redis+socket://{STATE_DIR / 'broker.sock'}"
CELERY_BEAT_SCHEDULE = {
    "sweep-runs": {**CELERY_BEAT_SCHEDULE["sweep-runs"], "schedule": 1.0},
}
RUN_HEARTBEAT_SECONDS = 1
RUN_LOST_AFTER_SECONDS = 8
