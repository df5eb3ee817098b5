"""Take pictures of a report at the width of a desk and of a phone, with headless Chromium.

Usage: python docs/screenshots.py demo/report.html [--out docs]

Needs Chromium (Debian's package chromium). Writes report.png (the top, for the README),
report-desktop.png and report-phone.png (the whole page).
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DESKTOP, PHONE = 1_200, 390
TOP = 1_120
NARROWEST = 500
"""Chromium makes no window narrower than this, so a phone is a frame in a wider one."""

FRAME = """<!doctype html><meta charset="utf-8">
<style>body{{margin:0}}iframe{{border:0;display:block}}</style>
<iframe id="page" src="{page}" width="{width}" height="{height}"></iframe>
<script>onload = () => {{ const root = page.contentDocument.documentElement;
const more = [...root.querySelectorAll("details")];
more.forEach(one => one.open = true);
const cut = [...root.querySelectorAll(".wide")].filter(one => one.scrollWidth > one.clientWidth);
more.forEach(one => one.open = false);
const outside = [...root.querySelectorAll("svg text")].filter(one => {{
const text = one.getBoundingClientRect(), chart = one.ownerSVGElement.getBoundingClientRect();
return text.left < chart.left - 1 || text.right > chart.right + 1; }});
document.title = `height ${{root.scrollHeight}} width ${{root.scrollWidth}}`
+ ` cut ${{cut.length}} outside ${{outside.length}}`;
}}</script>"""


def main() -> int:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    asked = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        print("chromium is not installed: apt-get install chromium", file=sys.stderr)
        return 1
    if not asked.report.is_file():
        print(f"{asked.report} is not there: make demo writes one", file=sys.stderr)
        return 1
    asked.out.mkdir(parents=True, exist_ok=True)
    for name, width, height in (
        ("report", DESKTOP, TOP),
        ("report-desktop", DESKTOP, None),
        ("report-phone", PHONE, None),
    ):
        path = asked.out / f"{name}.png"
        size = picture(program, asked.report.resolve(), width, height, path.resolve())
        print(f"{path}: {width} × {size}")
    return 0


def picture(program: str, page: Path, width: int, height: int | None, out: Path) -> int:
    """Take one picture; without a height, of the whole page. Gives the height."""
    with tempfile.TemporaryDirectory() as folder:
        frame = Path(folder) / "frame.html"
        if height is None:
            frame.write_text(FRAME.format(page=page.as_uri(), width=width, height=800))
            shown = chromium(program, folder, "--dump-dom", frame.as_uri())
            found = re.search(r"height (\d+) width (\d+) cut (\d+) outside (\d+)", shown)
            if found is None:
                raise RuntimeError("Chromium did not say how tall the page is")
            if int(found[2]) > width:
                raise RuntimeError(f"the page is {found[2]} wide; it should fit {width}")
            if int(found[3]):
                raise RuntimeError(f"{found[3]} tables have columns cut off at a width of {width}")
            if int(found[4]):
                raise RuntimeError(f"{found[4]} texts of charts are cut off at a width of {width}")
            height = int(found[1])
        frame.write_text(FRAME.format(page=page.as_uri(), width=width, height=height))
        window = f"--window-size={max(width, NARROWEST)},{height}"
        chromium(program, folder, window, f"--screenshot={out}", frame.as_uri())
        if width < NARROWEST:
            crop(out, width)
        return height


def chromium(program: str, folder: str, *arguments: str) -> str:
    """Run Chromium once, with a profile of its own, and give what it prints."""
    command = [
        program,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--allow-file-access-from-files",
        f"--user-data-dir={folder}/profile",
        *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    return done.stdout


def crop(path: Path, width: int) -> None:
    """Cut a picture to its left part."""
    from PIL import Image

    with Image.open(path) as image:
        left = image.crop((0, 0, width, image.height))
    left.save(path)


if __name__ == "__main__":
    raise SystemExit(main())
