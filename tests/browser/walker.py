"""A person before the screen: opens pages, clicks, waits until the page has settled, takes pictures."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page, expect

PATIENCE = 60_000  # ms; two cores are shared with the jobs that a walk starts


class Walker:
    """A person before the screen."""

    def __init__(self, page: Page, address: str, pictures: Path) -> None:
        self.page, self.address, self.pictures = page, address, pictures
        page.set_default_timeout(PATIENCE)

    def open(self, path: str, heading: str) -> None:
        self.page.goto(self.address + path)
        expect(self.page.get_by_role("heading", name=heading).first).to_be_visible(timeout=PATIENCE)
        self.settle()

    def settle(self) -> None:
        """Wait until the script run is over and nothing is drawn any more."""
        self.page.wait_for_timeout(400)
        running = self.page.locator('[data-testid="stApp"][data-test-script-state="running"]')
        expect(running).to_have_count(0, timeout=PATIENCE)
        self.page.wait_for_timeout(500)
        assert self.page.locator('[data-testid="stException"]').count() == 0, self.page.locator(
            '[data-testid="stException"]'
        ).first.inner_text()

    def picture(self, name: str, *, most: int = 2600) -> None:
        """Save the page as a picture, as tall as its content."""
        block = self.page.locator('[data-testid="stMainBlockContainer"]')
        height = int(block.evaluate("e => e.getBoundingClientRect().height")) + 40
        self.page.set_viewport_size({"width": 1440, "height": max(min(height, most), 700)})
        block.evaluate("e => { for (let p = e; p; p = p.parentElement) p.scrollTop = 0; }")
        self.page.wait_for_timeout(700)
        self.page.screenshot(path=self.pictures / f"{name}.png")
        self.page.set_viewport_size({"width": 1440, "height": 900})

    def button(self, key: str) -> None:
        self.page.locator(f".st-key-{key} button").first.click()

    def choose(self, label: str, option: str | re.Pattern[str]) -> None:
        self.page.get_by_label(label, exact=True).first.click()
        self.page.get_by_role("option", name=option).first.click()
        self.settle()

    def select_row(self, row: int) -> None:
        """Tick the box of a row in the last data frame of the page."""
        table = self.page.locator('[data-testid="stDataFrame"] canvas').first
        table.scroll_into_view_if_needed()
        box = table.bounding_box()
        assert box is not None
        self.page.mouse.click(box["x"] + 18, box["y"] + 35 + 35 * row + 17)
        self.settle()
