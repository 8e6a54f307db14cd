"""Drawings of tables of signed numbers: every number in its cell, colours symmetric about 0."""

import matplotlib.pyplot as plt
import numpy as np

from lorantk.publishing.notebook.plots import signed_map


def test_every_number_stands_in_its_cell():
    figure, axis = plt.subplots()
    signed_map(axis, np.array([[0.25, -1.0, -0.01], [np.nan, 0.0, 1.9]]), 2)
    drawn = {text.get_position(): text.get_text() for text in axis.texts}
    plt.close(figure)
    assert drawn == {(0, 0): "0.2", (1, 0): "−1.0", (2, 0): "0.0", (0, 1): "·", (1, 1): "0.0", (2, 1): "1.9"}


def test_colours_are_symmetric_and_dark_cells_have_white_numbers():
    figure, axis = plt.subplots()
    signed_map(axis, np.array([[0.1, -1.9]]), 2, write="{:+.2f}".format, origin="lower")
    [image], texts = axis.images, axis.texts
    plt.close(figure)
    assert image.get_clim() == (-2, 2)
    assert image.origin == "lower"
    assert [(text.get_text(), text.get_color()) for text in texts] == [("+0.10", "black"), ("−1.90", "white")]
