"""What the authors published of their own runs of BERT: accuracies after untargeted poisoning, on four tasks."""

import json
from importlib import resources

import pandas as pd

_FOLDER = resources.files("lorantk.experiments")
_TABLE = json.loads((_FOLDER / "reported.json").read_text())
SOURCE = _TABLE["source"]


def runs() -> pd.DataFrame:
    """Return every run: ``task``, ``poison`` (share flipped), ``arm``, ``seed``, ``accuracy``, ``precision``, ``recall``."""
    return pd.read_csv(_FOLDER / "reported_runs.csv")


def differences() -> pd.DataFrame:
    """Return accuracy of LoRA minus accuracy of full fine-tuning, in points, means over 5 seeds.

    Returns
    -------
    DataFrame
        The columns ``task``, ``poison``, ``difference`` and ``deviation``, the larger standard deviation over the seeds of the
        two accuracies.
    """
    rows = [
        (task, *row)
        for task, values in _TABLE["tasks"].items()
        for row in zip(_TABLE["poison"], values, _TABLE["deviations"][task], strict=True)
    ]
    return pd.DataFrame(rows, columns=["task", "poison", "difference", "deviation"])


def behind(poison: float) -> dict[str, float]:
    """Return by how many points LoRA is less accurate than full fine-tuning, by task, with a share of the labels flipped.

    Raises
    ------
    ValueError
        The authors report no accuracy at this share.
    """
    found = differences()
    here = found[found["poison"] == poison]
    if here.empty:
        msg = f"expected a share of flipped labels out of {', '.join(map(str, _TABLE['poison']))}; got {poison}"
        raise ValueError(msg)
    return dict(zip(here["task"], -here["difference"], strict=True))
