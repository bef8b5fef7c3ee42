"""The picture of a report in the docs: `sepo report` writes the file, Debian's Chromium draws its browser of pairs.

    sepo report quickstart/rewards --out report.html
    python examples/report_screenshot.py report.html docs/report.png --pair 1

playwright drives the browser (`pip install playwright`; nothing is downloaded).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    parser = argparse.ArgumentParser(description="draw the browser of pairs of a report as a PNG")
    parser.add_argument("report", type=Path, help="a file that `sepo report` wrote")
    parser.add_argument("picture", type=Path, help="the PNG to write")
    parser.add_argument("--width", type=int, default=1200)
    parser.add_argument("--height", type=int, default=860)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--pair", type=int, default=0, help="place of the pair in the list, from 0")
    parser.add_argument("--full", action="store_true", help="all of the page, from its top")
    given = parser.parse_args()
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        sys.exit("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as driver:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=program, args=arguments)
        page = browser.new_page(
            viewport={"width": given.width, "height": given.height}, color_scheme="dark" if given.dark else "light"
        )
        page.goto(given.report.resolve().as_uri())
        page.locator("#pair-list [role=option]").nth(given.pair).click()
        page.locator("#chosen-tokens .token.selected").first.hover()  # its numbers stand below
        page.evaluate("document.getElementById('pair').scrollIntoView({behavior: 'instant'})")
        page.screenshot(path=given.picture, full_page=given.full)
        browser.close()
    print(given.picture)


if __name__ == "__main__":
    main()
