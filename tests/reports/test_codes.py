import csv
from dataclasses import replace
from pathlib import Path

import pytest

from inference.pipeline.config import DIFFERENTIAL_CLASSES
from reports import codes, fhir, hl7, payload, pdf
from reports.codes import Code, System

ALL = [*codes.CLASSES.values(), *(code for code in vars(codes).values() if isinstance(code, Code))]
LOINC = sorted({code.code for code in ALL if code.system is System.LOINC} - {codes.DOCUMENT.code})


@pytest.fixture(scope="module")
def loinc(fhir_packages):
    with Path(fhir_packages[0]).with_name("loinc-blood-smear.csv").open() as file:
        return {row["LOINC_NUM"]: row for row in csv.DictReader(file)}


def test_every_class_of_the_differential_has_a_code():
    assert set(codes.CLASSES) == set(DIFFERENTIAL_CLASSES)


@pytest.mark.parametrize("code", LOINC)
def test_code_is_loinc_in_blood_and_not_automated(code, loinc):
    assert loinc[code]["SYSTEM"] == "Bld"
    assert "Automated" not in loinc[code]["METHOD_TYP"]


def test_method_is_left_out_only_where_the_code_names_it(loinc):
    for code in ALL:
        if code.code in loinc and code not in (codes.PANEL, codes.COMMENT):
            assert code.names_method == bool(loinc[code.code]["METHOD_TYP"]), code


def test_local_codes_are_no_loinc(loinc):
    assert not {code.code for code in ALL if code.system is System.LOCAL} & set(loinc)


def test_a_smear_without_leukocytes_leaves_in_every_format(signed):
    nothing = replace(
        signed.aggregate,
        wbc_count=0,
        differential={},
        rbc_wbc_ratio=None,
        erythroblasts_per_100_wbc=None,
        left_shift_index=None,
    )
    empty = replace(signed, aggregate=nothing, lines=(), shown=(), shown_of=0)
    printed = pdf.write(empty)
    assert printed.startswith(b"%PDF")
    assert payload.write(empty)["wbc_differential"]["distribution"] == {}
    assert "|NM|11282-1" in hl7.message(empty, printed)
    assert fhir.bundle(fhir.Outgoing(empty, printed))["type"] == "transaction"
