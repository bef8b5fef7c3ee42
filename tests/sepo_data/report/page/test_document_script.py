"""The script of the page: its modules run in node, and as one in the page."""

import re
import subprocess
from pathlib import Path

import pytest

from sepo_data.report.page.document import SCRIPTS, script_text

HERE = Path(__file__).parent
FOLDER = Path(__file__).parents[4] / "sepo_data" / "report" / "page"


def node() -> str:
    driver = pytest.importorskip("playwright._impl._driver")
    return str(driver.compute_driver_executable()[0])


def test_the_modules_pass_their_own_tests():
    tests = sorted(map(str, HERE.glob("*.test.mjs")))
    assert len(tests) == 3
    done = subprocess.run([node(), "--test", *tests], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"pass (\d+)", done.stdout)[1]) >= 20


def test_the_joined_modules_are_one_valid_module(tmp_path):
    """A name that two modules declare, or an import that is left, is an error of the syntax check."""
    joined = tmp_path / "joined.mjs"
    joined.write_text(script_text(), encoding="utf-8")
    done = subprocess.run([node(), "--check", joined], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not re.search(r"^import ", script_text(), re.MULTILINE)


def test_every_script_of_the_folder_is_in_the_page():
    assert {file.name for file in FOLDER.glob("*.js")} == set(SCRIPTS)


def test_each_module_imports_from_earlier_ones():
    for place, name in enumerate(SCRIPTS):
        imported = re.findall(r'from "\./([a-z]+\.js)"', (FOLDER / name).read_text(encoding="utf-8"))
        assert set(imported) <= set(SCRIPTS[:place])


def test_text_is_never_html_nor_code():
    """Data reaches the page as text; nothing of it is parsed, run or put into a style."""
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|Function\(|\.style\b|srcdoc|\.href|import\("
    )
    assert re.findall(forbidden, script_text()) == []
    assert "</" not in script_text()
    assert "<!--" not in script_text()
