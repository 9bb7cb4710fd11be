"""Test `petlir claims`: the papers' statements beside the results of the store."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from petlir.benchmark.published import claims
from petlir.reports.claims import by_paper, verdicts
from tests.helpers.engine import command
from tests.helpers.samples import typed_all
from tests.reports.stores import record, write_store
from tests.reports.test_claims import seeds

HEADER = "paper,table,backbone,method,task,set,protocol,psnr,ssim,params,remark\n"


def test_all_claims_are_listed_with_what_they_were_made_under(capsys):
    code, out, _ = command(capsys, "claims", "--json")
    rows = json.loads(out)
    assert code == 0
    assert len(rows) == len(claims())
    assert all(row[name] for row in rows for name in ("paper", "table", "protocol", "set", "psnr"))
    assert "verdict" not in rows[0]


def test_one_paper_as_text(capsys):
    code, out, _ = command(capsys, "claims", "IPT")
    assert code == 0
    assert "IPT, table issue 1 of SwinIR: ipt · frozen · denoise_50 · CBSD68 · rgb: 28.39 dB\n" in out
    assert "AdaptIR" not in out


def test_beside_a_store_stand_our_number_and_the_verdict(capsys, tmp_path):
    (tmp_path / "published").mkdir()
    made = "AdaptIR,9,ipt,lora,sr_x4,Set5,y-crop4,32.70,,,\nAdaptIR,9,ipt,lora,sr_x4,Set5,rgb,30.90,,,\n"
    (tmp_path / "published" / "paper.csv").write_text(f"{HEADER}{made}Other,1,ipt,ssf,sr_x4,Set5,rgb,30.90,,,\n")
    store = write_store(tmp_path / "store", seeds(32.70, 32.71, 32.69), images=False)
    told = ["claims", "--store", store, "--published", tmp_path / "published"]
    rows = json.loads(command(capsys, *told, "--json")[1])
    assert [row["verdict"] for row in rows] == ["reproduced", "not comparable", "not run"]
    assert rows[0]["ours"] == pytest.approx(32.701, abs=1e-3)
    assert rows[0]["low"] < rows[0]["ours"] < rows[0]["high"]
    lines = command(capsys, *told)[1].splitlines()
    expected = f"32.70 dB; here 32.70 [{rows[0]['low']:.2f}, {rows[0]['high']:.2f}]; reproduced"
    assert lines[0].endswith(expected)
    assert lines[1].endswith("30.90 dB; not comparable: protocol: y-crop4 here, rgb in the paper")


def test_a_claim_without_protocol_is_refused_in_one_line(capsys, tmp_path):
    (tmp_path / "paper.csv").write_text(f"{HEADER}AdaptIR,9,ipt,lora,sr_x4,Set5,,32.70,,,\n")
    code, out, err = command(capsys, "claims", "--published", tmp_path)
    assert (code, out) == (2, "")
    where = f"petlir: {tmp_path / 'paper.csv'}, line 2: "
    assert err == f"{where}the claim has no protocol, without which its number cannot be compared\n"


def test_the_verdicts_of_a_paper_stand_together():
    records = [record("lora", "sr_x4")]
    found = by_paper(typed_all(records), claims())
    assert list(found) == sorted({claim.paper for claim in claims()})
    assert {paper: len(some) for paper, some in found.items()} == Counter(claim.paper for claim in claims())
    assert sorted(str(one) for some in found.values() for one in some) == sorted(
        map(str, verdicts(typed_all(records), claims()))
    )
