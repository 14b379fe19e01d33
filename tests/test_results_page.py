from benchmarks.results_page import PAGE, page


def test_the_results_page_is_what_the_recorded_scores_give():
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text
    assert "Synthetic people" in text and "seed5" in text
