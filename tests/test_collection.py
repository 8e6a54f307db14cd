"""Every file of tests is run."""

from pathlib import Path

TESTS = Path(__file__).parent


def test_no_folder_of_tests_is_left_out(request):
    files = {path.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
    folders = {part for file in files for part in file.parts[:-1]}
    assert {"build", "theory", "site"} <= folders
    patterns = request.config.getini("norecursedirs")
    assert [folder for folder in folders if any(Path(folder).match(pattern) for pattern in patterns)] == []
