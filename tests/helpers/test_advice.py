"""The table of advice: ids that stay, messages that are known, and the line for the end of an exception."""

from helpers.advice import advice_for, advice_line


def test_the_line_for_an_exception_names_id_cure_and_command():
    advice = advice_for("CUDA initialization failure with error: 35")
    line = advice_line("CUDA initialization failure with error: 35")
    assert line == f"{advice.id}: {advice.cure} (tensorrt-workbook explain {advice.id})"
    assert "\n" not in line


def test_there_is_no_line_for_what_is_not_known():
    assert advice_line("all is well") == ""
    assert advice_line("") == ""
