"""Waits until the web process answers, then sees to the demo laboratory and says where everything is."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

ADDRESS = f"http://127.0.0.1:{os.environ.get('PORT', '8000')}"
PATIENCE_SECONDS = 120


def answers() -> bool:
    try:
        with urllib.request.urlopen(f"{ADDRESS}/accounts/login/", timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        return error.code < 500
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def main() -> int:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not answers():
        if time.monotonic() > deadline:
            sys.stderr.write(
                f"{ADDRESS} does not answer after {PATIENCE_SECONDS} seconds; see the lines above.\n"
            )
            return 1
        time.sleep(0.3)
    command = [sys.executable, "manage.py", "make_demo", "--address", ADDRESS]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
