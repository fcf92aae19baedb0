"""A real browser for the tests of pages: how it is started, signing in and out, what htmx has swapped in."""

from playwright.sync_api import Locator, Page, expect

from tests.conftest import PASSWORD

CHROMIUM = "/usr/bin/chromium"
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 30_000
expect.set_options(timeout=PATIENCE_MS)


def sign_in(page: Page, server, user) -> None:
    page.goto(f"{server.url}/accounts/login/")
    page.locator("input[name=login]").fill(user.email)
    page.locator("input[name=password]").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{server.url}/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Worklist")


def sign_out(page: Page) -> None:
    """Leaves the page as well, so that nothing it asks for is answered by the page of signing in."""
    page.goto("about:blank")
    page.context.clear_cookies()


def settled(page: Page, selector: str) -> Locator:
    """A part that htmx swaps, once htmx has bound what is in it: until then a key sends its form without
    htmx."""
    return page.locator(f"{selector}:not(.htmx-added)")
