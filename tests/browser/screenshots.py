"""Take the report's pictures: python -m tests.browser.screenshots [report.html] -> build/report-*.png.

Two widths, light and dark, the whole page; and the first page alone (docs/report.png is one). Without an argument
the report of the synthetic sample is made first.
"""

import sys
from pathlib import Path

from tests.browser.chromium import browser
from tests.browser.sample_report import sample_report

BUILD = Path(__file__).parents[2] / "build"
SIZES = {"desktop": (1280, 1340), "phone": (390, 844)}


def main(report: Path) -> None:
    with browser() as chromium:
        for device, (width, height) in SIZES.items():
            for scheme in ("light", "dark"):
                page = chromium.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                page.goto(report.resolve().as_uri())
                page.wait_for_selector("html[data-ready=yes]", timeout=60_000)
                for part, whole in (("", True), ("-first", False)):
                    picture = BUILD / f"report-{device}-{scheme}{part}.png"
                    page.screenshot(path=picture, full_page=whole)
                    print(picture.relative_to(BUILD.parent))
                page.close()


if __name__ == "__main__":
    BUILD.mkdir(exist_ok=True)
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else sample_report(BUILD))
