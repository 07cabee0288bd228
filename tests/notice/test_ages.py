"""On which days the bundled catalogue's answers turn to no by themselves, as its page says."""

from pathlib import Path

from tests.harness.documents import read_yaml

ROOT = Path(__file__).parents[2]
CATALOGUE = read_yaml((ROOT / "app" / "catalogues" / "belkcase.yaml").read_text(encoding="utf-8"))


def test_the_page_names_every_day_on_which_an_answer_turns() -> None:
    page = (ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8")
    reviews = {r["reviewed_on"] for r in CATALOGUE["recipients"].values() if "reviewed_on" in r}
    assessments = {
        ground["standing_assessment"]["until"]
        for purpose in CATALOGUE["purposes"].values()
        for ground in purpose["grounds"]
        if "standing_assessment" in ground
    }
    turns = {f"{int(day[:4]) + 1}{day[4:]}" for day in reviews} | assessments
    rows = {line.split(" | ")[0].removeprefix("| ") for line in page.splitlines() if line.startswith("| 20")}
    assert rows == turns
    assert f"Before {CATALOGUE['effective_from'][:10]} no version is in force" in page


def test_the_page_counts_what_the_catalogue_declares() -> None:
    page = (ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8")
    counts = (len(CATALOGUE[section]) for section in ("purposes", "data_categories", "recipients"))
    assert "{} purposes, {} data categories, {} recipients".format(*counts) in page.replace("\n", " ")
