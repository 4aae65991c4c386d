"""The changelog has an entry for each version: of the package, and of the files."""

import re
from pathlib import Path

import t1c
from t1c import ir
from t1c.ir.hdf5_layout import BASE_VERSION, FORMAT_VERSION

PAGE = (Path(__file__).parent.parent / "CHANGELOG.md").read_text()


def test_the_version_of_the_package_is_the_newest_heading():
    versions = re.findall(r"^## (\S+) - ", PAGE, re.MULTILINE)
    assert versions[0] == t1c.__version__


def test_every_version_of_the_format_is_told():
    declared = {BASE_VERSION, FORMAT_VERSION}
    for name in ir.list_primitives():
        kind = ir.str_to_node(name)
        if kind.__module__.startswith("t1c.ir."):
            declared |= {kind.since, *(field.since for field in kind.kinds.values())}
    told = set(re.findall(r"format\s+`([\d.]+)`", PAGE))
    assert declared - {""} <= told
    assert len(told) >= 4
