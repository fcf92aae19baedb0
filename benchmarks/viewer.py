"""Times of the viewer on a slide composed of fields: tiles, cells, and in a browser the frames.

    python benchmarks/viewer.py --json FILE [--field IMAGE] [--cells 20000] [--state DIR]

`--state` keeps the data, so that the slide can be looked at: WBC_STATE=DIR python manage.py runserver.
"""

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
SIDE = (12, 10)
PASSWORD = "correct horse battery"
CHROMIUM = "/usr/bin/chromium"
FRAMES = """async (seconds) => {
  const root = document.querySelector('.pane'); const gaps = [], draws = []; let most = 0;
  let before = performance.now(); const end = before + seconds * 1000;
  while (performance.now() < end) {
    await new Promise(requestAnimationFrame);
    const now = performance.now(); gaps.push(now - before); before = now;
    draws.push(Number(root.dataset.drawMs)); most = Math.max(most, Number(root.dataset.inSight));
  }
  return {gaps, draws, inSight: most};
}"""


def main() -> None:
    options = _options()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "wbcportal.settings")
    os.environ.setdefault("DEBUG", "true")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["WBC_STATE"] = str(options.state or folder)
        Path(os.environ["WBC_STATE"]).mkdir(parents=True, exist_ok=True)
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
    parser.add_argument("--field", type=Path)
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--state", type=Path)
    return parser.parse_args()


def _measured(options: argparse.Namespace) -> dict[str, Any]:
    from django.conf import settings
    from django.core.management import call_command
    from django.test import Client

    settings.ALLOWED_HOSTS = ["*"]
    call_command("migrate", verbosity=0)
    user, run = smear(options.field, lambda of: _findings(of, options.cells))
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return {
        "slide": [run.smear.width, run.smear.height],
        "cells": run.cells.count(),
        "server": _server(client, run),
        "browser": _browser(client, run) if Path(CHROMIUM).exists() else None,
    }


# --- the slide --------------------------------------------------------------------------------------
def smear(field: Path | None, findings: Callable[[Any], Any]) -> tuple[Any, Any]:
    """A pathologist and a finished run of a slide composed of a field, with these findings about it."""
    from django.core.files import File
    from django.utils import timezone

    from accounts.models import Role, User
    from accounts.services import create_lab
    from cases import services
    from inference import runs

    lab = create_lab(f"Viewer benchmark {time.time():.0f}")
    user = User.objects.create_user(
        f"path-{time.time():.0f}@viewer.example",
        PASSWORD,
        full_name="Paul Path",
        lab=lab,
        role=Role.PATHOLOGIST,
        status=User.Status.ACTIVE,
    )
    clinician = User.objects.create_user(
        f"clin-{time.time():.0f}@viewer.example",
        PASSWORD,
        full_name="Clara Clinic",
        lab=lab,
        role=Role.CLINICIAN,
        status=User.Status.ACTIVE,
    )
    patient = services.create_patient(clinician, mrn="B-1", family_name="Bench")
    case = services.create_case(
        clinician, patient, accession="B-1", collected_at=timezone.now(), pixel_um=0.12
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "slide.tif")
        picture = _compose(field, path)
        with path.open("rb") as file:
            run = runs.submit(clinician, case, File(file, "slide.tif"))
    runs.save(run.pk, runs.QUEUE.claim(run.pk), findings(run.smear), picture)
    run.refresh_from_db()
    print("sign in as", user.email, "with", PASSWORD, f"and open /runs/{run.pk}/", file=sys.stderr)
    return user, run


def _compose(field: Path | None, path: Path) -> Any:
    """Writes the slide as a pyramid of JPEG tiles; gives back a small picture of it."""
    import numpy as np
    import pyvips
    from PIL import Image

    if field:
        one = np.asarray(Image.open(field).convert("RGB"))
    else:
        one = (
            np.random.default_rng(1).normal((236, 228, 232), 8, (1200, 1600, 3)).clip(0, 255).astype(np.uint8)
        )
    slide = pyvips.Image.new_from_array(one).copy(interpretation="srgb").replicate(*SIDE)
    options = {"compression": "jpeg", "Q": 90, "tile_width": 256, "tile_height": 256, "bigtiff": True}
    slide.tiffsave(str(path), tile=True, pyramid=True, **options)
    return one


def _findings(smear: Any, count: int) -> Any:
    """So many cells on a jittered lattice."""
    import numpy as np

    from inference.pipeline.aggregation import aggregate
    from inference.pipeline.findings import Coverage, Findings, NetworkUsed, Quality, TileState

    rng = np.random.default_rng(7)
    step = math.sqrt(smear.width * smear.height / count)
    across = int(smear.width / step)
    places = [((n % across + 0.5) * step, (n // across + 0.5) * step) for n in range(count)]
    cells = tuple(
        _cell(n + 1, *_jittered(place, rng), rng) for n, place in enumerate(places) if place[1] < smear.height
    )
    boxes = tuple(
        (x, y, min(x + 1024, smear.width), min(y + 1024, smear.height))
        for y in range(0, smear.height, 896)
        for x in range(0, smear.width, 896)
    )
    states = tuple(rng.choice([*TileState], p=[0.9, 0.05, 0.04, 0.01]) for _ in boxes)
    return Findings(
        smear.width,
        smear.height,
        0.12,
        "declared",
        Quality(0.86, 0.9, 0.8, 0.95, 0.4),
        cells,
        aggregate(cells[:2000]),
        (NetworkUsed("wbc-test", "1.0.0", "ab" * 32),),
        (),
        {},
        coverage=Coverage(boxes, tuple(TileState(state) for state in states)),
    )


def _jittered(place: tuple[float, float], rng: Any) -> tuple[int, int]:
    dx, dy = rng.uniform(-15, 15, 2)
    return int(place[0] + dx), int(place[1] + dy)


def _cell(number: int, x: int, y: int, rng: Any) -> Any:
    """One in forty a classified leukocyte, one in twenty a platelet, the rest red cells; 32 corners each."""
    import numpy as np

    from inference.pipeline.config import WBC_CLASSES
    from inference.pipeline.findings import Call, Cell, Instance, Kind

    kind = Kind.WBC if number % 40 == 0 else Kind.PLATELET if number % 20 == 1 else Kind.RBC
    radius = {Kind.WBC: 55, Kind.RBC: 34, Kind.PLATELET: 12}[kind]
    turns = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    rays = radius * rng.uniform(0.9, 1.1, 32)
    corners = tuple(
        (int(x + r * np.cos(t)), int(y + r * np.sin(t))) for r, t in zip(rays, turns, strict=True)
    )
    box = (max(0, x - radius), max(0, y - radius), x + radius, y + radius)
    instance = Instance(kind, box, corners, (float(x), float(y)), int(3 * radius**2), 0.9)
    if kind is not Kind.WBC:
        return Cell(number, instance)
    label, confidence = str(rng.choice(WBC_CLASSES[:9])), float(rng.uniform(0.4, 1))
    return Cell(
        number,
        instance,
        Call(label, confidence, {label: confidence}),
        ("low_confidence",) * (confidence < 0.7),
    )


# --- the server -------------------------------------------------------------------------------------
def _server(client: Any, run: Any) -> dict[str, Any]:
    from inference import deep_zoom, tiles
    from inference.shelf import Shelf

    last = tiles.last_level(run.smear.width, run.smear.height)
    base = f"/runs/{run.pk}/viewer/"
    centre = [(last, 10 + n, 8) for n in range(10)] + [(last - n, 1, 1) for n in range(1, 5)]
    client.get(base)
    deep_zoom.SHELF = Shelf()
    first, _ = _timed(lambda: client.get(f"{base}tiles/{last - 5}/0/0.jpg"))
    new = [
        _timed(lambda tile=tile: client.get(f"{base}tiles/{'/'.join(map(str, tile))}.jpg")) for tile in centre
    ]
    kept = [
        _timed(lambda tile=tile: client.get(f"{base}tiles/{'/'.join(map(str, tile))}.jpg")) for tile in centre
    ]
    cells = [
        _timed(lambda: client.get(f"{base}cells.json", headers={"accept-encoding": "gzip"})) for _ in range(5)
    ]
    plain = client.get(f"{base}cells.json")
    same = _timed(lambda: client.get(f"{base}cells.json", headers={"if-none-match": plain["ETag"]}))
    block = _timed(lambda: client.get(f"{base}outlines/2/2.json", headers={"accept-encoding": "gzip"}))
    page = [_timed(lambda: client.get(base))[0] for _ in range(5)]
    return {
        "first_tile_ms": first,
        "new_tile_ms": _median(new),
        "new_tile_worst_ms": max(ms for ms, _ in new),
        "kept_tile_ms": _median(kept),
        "tile_kb": round(statistics.median(len(answer.content) for _, answer in new) / 1024, 1),
        "page_ms": statistics.median(page),
        "cells_ms": _median(cells),
        "cells_kb": round(len(plain.content) / 1024),
        "cells_gzip_kb": round(len(cells[0][1].content) / 1024),
        "cells_unchanged_ms": same[0],
        "outlines_block_ms": block[0],
        "outlines_block_gzip_kb": round(len(block[1].content) / 1024, 1),
    }


def _timed(act: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    answer = act()
    assert answer.status_code in (200, 304), answer.status_code
    return round(1000 * (time.perf_counter() - began), 1), answer


def _median(timed: list[tuple[float, Any]]) -> float:
    return statistics.median(ms for ms, _ in timed)


# --- the browser ------------------------------------------------------------------------------------
@contextmanager
def browsing(client: Any) -> Iterator[tuple[Any, str]]:
    """A page of a browser that is signed in as a client is, and the address of the server behind it."""
    from django.contrib.staticfiles.handlers import StaticFilesHandler
    from django.core.handlers.wsgi import WSGIHandler
    from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
    from playwright.sync_api import sync_playwright

    server = ThreadedWSGIServer(("127.0.0.1", 0), WSGIRequestHandler)
    server.set_app(StaticFilesHandler(WSGIHandler()))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        cookie = client.cookies["sessionid"].value
        page.context.add_cookies([{"name": "sessionid", "value": cookie, "url": address}])
        yield page, address
        browser.close()
    server.shutdown()


def _browser(client: Any, run: Any) -> dict[str, Any]:
    with browsing(client) as (page, address):
        began = time.perf_counter()
        page.goto(f"{address}/runs/{run.pk}/viewer/")
        page.wait_for_selector("#viewer[data-ready]", timeout=60_000)
        ready = round(1000 * (time.perf_counter() - began))
        page.wait_for_timeout(2500)
        found = {"ready_ms": ready, "whole_as_dots": _frames(page, ("-", "0", "-"))}
        page.keyboard.press("0")
        for name, presses in (("boxes", 3), ("boxes_with_lines", 1), ("outlines", 2), ("near", 3)):
            for _ in range(presses):
                page.keyboard.press("+")
            page.wait_for_timeout(2500)
            found[name] = _frames(page, ("ArrowRight",) * 3)
    return found


def _frames(page: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    """Frames while the picture moves: gaps between them, and the time to draw the cells."""
    for key in keys:
        page.keyboard.press(key)
    seen = page.evaluate(FRAMES, 1)
    gaps, draws = sorted(seen["gaps"]), sorted(seen["draws"])
    return {
        "cells_in_sight": seen["inSight"],
        "frame_ms": round(statistics.median(gaps), 1),
        "frame_p95_ms": round(gaps[int(0.95 * len(gaps))], 1),
        "draw_ms": round(statistics.median(draws), 1),
        "draw_worst_ms": round(draws[-1], 1),
    }


if __name__ == "__main__":
    main()
