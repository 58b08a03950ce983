"""A browser for the tests of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from served import PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


class Visit:
    """A page in a window of its own; `problems` has everything that a page must not do."""

    def __init__(self, browser: Browser, port: int, script: str = "", **window: Any) -> None:
        self.problems: list[str] = []
        self.url = url = f"http://127.0.0.1:{port}/"
        context = browser.new_context(**window)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        context.set_default_timeout(PATIENCE * 1000)
        context.add_init_script(script)
        self.page: Page = context.new_page()
        self.page.on(
            "console", lambda message: message.type == "error" and self.problems.append(message.text)
        )
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.problems.append(dialog.message), dialog.dismiss()))
        self.page.on(
            "request", lambda request: request.url.startswith(url) or self.problems.append(request.url)
        )
        self.open()

    def open(self) -> None:
        """Load the page anew."""
        self.page.goto(self.url)
        self.page.wait_for_selector("#model:not([hidden]), #error:not([hidden])")

    def label(self, text: str) -> None:
        """Label a text, as somebody who has a keyboard only."""
        self.page.fill("#text", text)
        with self.page.expect_response("**/predict"):
            self.page.press("#text", "Control+Enter")
        self.page.wait_for_selector("#cancel", state="hidden")

    def shown(self) -> list[tuple[str, str]]:
        """Text and type of each span that is highlighted."""
        pieces = self.page.locator("#labelled mark:not(.off)").evaluate_all(
            "marks => marks.map(mark => [mark.firstChild.data, mark.lastChild.textContent])"
        )
        return [(text, type_) for text, type_ in pieces]

    def copied(self, name: str) -> str:
        """What is copied as JSON or CoNLL."""
        self.page.get_by_role("button", name=f"Copy {name}").click()
        self.page.get_by_text(f"Copied as {name}").wait_for()
        return str(self.page.evaluate("navigator.clipboard.readText()"))

    def text_of(self, selector: str) -> str:
        """The text of the first element."""
        return self.page.locator(selector).first.inner_text()
