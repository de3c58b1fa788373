from bench import results

TEXT = "# Results\n\nintro\n\n## a\n\nold a\n\n## b\n\nold b\n"


def test_only_the_named_section_changes():
    assert results.replace_section(TEXT, "a", "new") == "# Results\n\nintro\n\n## a\n\nnew\n\n## b\n\nold b\n"
    assert results.replace_section(TEXT, "b", "new\n\n") == "# Results\n\nintro\n\n## a\n\nold a\n\n## b\n\nnew\n"


def test_a_new_section_goes_to_the_end():
    assert results.replace_section(TEXT, "c", "new") == TEXT + "\n## c\n\nnew\n"


def test_replacing_twice_is_replacing_once():
    once = results.replace_section(TEXT, "a", r"new \1 text")
    assert results.replace_section(once, "a", r"new \1 text") == once


def test_numbers_align_right():
    assert results.table(["what", "µs"], [["x", "1"]]) == "| what | µs |\n|---|---:|\n| x | 1 |\n"
