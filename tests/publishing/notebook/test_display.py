"""Numbers written for readers."""

import numpy as np
import pytest

from lorantk.publishing.notebook.display import number_tex, number_text


@pytest.mark.parametrize(
    ("value", "spec", "text", "tex"),
    [
        (1.2e-9, ".1e", "1.2 × 10⁻⁹", r"1.2 \times 10^{-9}"),
        (0.44, ".2f", "0.44", "0.44"),
        (3.0e12, ".3g", "3 × 10¹²", r"3 \times 10^{12}"),
        (0.0, ".0e", "0", "0"),
        (1.04, ".1e", "1.0", "1.0"),
        (17, "", "17", "17"),
        (12345, ",", "12,345", "12{,}345"),
        (np.float64(0.5), "", "0.5", "0.5"),
        ("PEFT's default", "", "PEFT's default", "PEFT's default"),
        ("stage2", "", "stage2", "stage2"),
        (0.125, ".0%", "12%", r"12\%"),
        (-0.04, ".1f", "0.0", "0.0"),
        (-0.001, ".0%", "0%", r"0\%"),
        (-0.06, ".1f", "-0.1", "-0.1"),
        (float("-inf"), ".1f", "-inf", "-inf"),
        ("-0.0", "", "-0.0", "-0.0"),
    ],
)
def test_numbers_read_well_in_text_and_in_formulas(value, spec, text, tex):
    assert number_text(value, spec) == text
    assert number_tex(value, spec) == tex
