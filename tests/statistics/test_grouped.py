"""Test that means of groups equal those of pandas, to the last bit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from petlir.benchmark.statistics.grouped import means, numbered


@pytest.mark.parametrize("count", [200, 4000], ids=["few a group", "many a group"])
def test_means_are_those_of_pandas_to_the_last_bit(count):
    draw = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "label": draw.choice(list("abc"), count),
            "image": draw.choice(list("uvwxyz"), count),
            "psnr": draw.normal(30, 5, count),
        }
    )
    rows = rows[~((rows.label == "b") & (rows.image == "v"))]  # a group without values
    rows.loc[rows.index[::7], "psnr"] = np.nan
    rows.loc[rows.index[3], "psnr"] = np.inf
    (label, labels), (image, images) = numbered(rows.label), numbered(rows.image)
    found = means(rows.psnr.to_numpy(), (image, label), (len(images), len(labels)))
    expected = rows.groupby(["image", "label"]).psnr.mean().unstack().loc[images, labels]
    np.testing.assert_array_equal(found, expected.to_numpy())
