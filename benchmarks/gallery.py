"""Times of the gallery in a browser with 500 white and 2,000 red cells.

    python benchmarks/gallery.py [--json FILE] [--white 500] [--red 2000]

From a key press to the second frame after it, the median of several; calls until the page says that they are
kept. The server runs in the same process, on SQLite.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from viewer import ROOT, browsing, smear

sys.path.insert(0, str(ROOT))
TIMES = 15
STEP = """(key) => new Promise((done) => {
  const began = performance.now();
  const pressed = {key, ctrlKey: key === "a", bubbles: true, cancelable: true};
  document.activeElement.dispatchEvent(new KeyboardEvent("keydown", pressed));
  requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began)));
})"""
KEPT = "() => document.querySelector('.tile') && !document.querySelector('.tile.saving')"


def main() -> None:
    options = _options()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "wbcportal.settings")
    os.environ.setdefault("DEBUG", "true")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["WBC_STATE"] = folder
        import django

        django.setup()
        found = _measured(options)
    text = json.dumps(found, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--white", type=int, default=500)
    parser.add_argument("--red", type=int, default=2000)
    return parser.parse_args()


def _measured(options: argparse.Namespace) -> dict[str, Any]:
    from django.conf import settings
    from django.core.management import call_command
    from django.test import Client

    settings.ALLOWED_HOSTS = ["*"]
    call_command("migrate", verbosity=0)
    user, run = smear(None, lambda of: _findings(of, options))
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    found: dict[str, Any] = {}
    with browsing(client) as (page, address):
        for stream in ("WBC", "RBC"):
            began = time.perf_counter()
            page.goto(f"{address}/runs/{run.pk}/gallery/?stream={stream}")
            page.wait_for_selector("#gallery[data-ready]", timeout=60_000)
            found[stream] = {"ready_ms": round(1000 * (time.perf_counter() - began)), **_work(page)}
    return found


def _work(page: Any) -> dict[str, int]:
    """Work at the cells shown: step, choose, call one and a whole class, show other orders."""
    page.locator(".tile").first.click()
    page.wait_for_load_state("networkidle")
    step = [page.evaluate(STEP, "ArrowRight") for _ in range(TIMES)]
    page.wait_for_load_state("networkidle")
    choose = [page.evaluate(STEP, "a") for _ in range(TIMES)]
    chosen = page.locator(".tile[aria-selected=true]").count()
    many = _until_kept(page, "Enter")
    page.keyboard.press("Escape")
    one = statistics.median(_until_kept(page, "Enter") for _ in range(5))
    return {
        "tiles": page.locator(".tile").count(),
        "step_ms": round(statistics.median(step)),
        "choose_class_ms": round(statistics.median(choose)),
        "chosen": chosen,
        "confirm_class_ms": round(many),
        "confirm_one_ms": round(one),
    }


def _until_kept(page: Any, key: str) -> float:
    began = time.perf_counter()
    with page.expect_response(lambda answer: "/decide/" in answer.url):
        page.keyboard.press(key)
    page.wait_for_function(KEPT)
    return 1000 * (time.perf_counter() - began)


def _findings(of: Any, options: argparse.Namespace) -> Any:
    from inference.pipeline.aggregation import aggregate
    from inference.pipeline.config import RBC_SHAPES, WBC_CLASSES, Config
    from inference.pipeline.findings import Findings, Kind, NetworkUsed, Quality
    from inference.pipeline.red_cell_calls import red_cells

    white = [_cell(n + 1, Kind.WBC, WBC_CLASSES[:8]) for n in range(options.white)]
    red = [_cell(options.white + n + 1, Kind.RBC, RBC_SHAPES) for n in range(options.red)]
    cells = (*white, *red)
    used = (NetworkUsed("wbc", "1.0.0", "ab" * 32), NetworkUsed("rbc", "1.0.0", "cd" * 32))
    quality = Quality(0.86, 0.9, 0.8, 0.95, 0.4)
    size = of.width, of.height
    told = aggregate(cells), used, (), {}
    return Findings(*size, 0.12, "declared", quality, cells, *told, red=red_cells(red, Config()))


def _cell(number: int, kind: Any, classes: tuple[str, ...]) -> Any:
    """A cell with a crop; one in twelve unsure, and half of them of the first class."""
    import numpy as np

    from inference.pipeline.findings import Call, Cell, Instance

    x, y, radius = 60 + 100 * (number % 100), 60 + 100 * (number // 100), 34
    box = (x - radius, y - radius, x + radius, y + radius)
    corners = tuple((box[a], box[b]) for a, b in ((0, 1), (2, 1), (2, 3), (0, 3)))
    label = classes[0 if number % 2 else number // 2 % len(classes)]
    confidence = 0.6 if number % 12 == 0 else 0.95
    crop = np.full((64, 64, 3), (200, number % 255, 180), np.uint8)
    call = Call(label, confidence, {label: confidence})
    found = Instance(kind, box, corners, (float(x), float(y)), 3 * radius**2, 0.9)
    return Cell(number, found, call, ("low_confidence",) * (confidence < 0.7), crop)


if __name__ == "__main__":
    main()
