import re

from cathodegrain.exporters.solvers.profiles import PROFILES
from places import ROOT

TEXT = (ROOT / "docs/solvers.md").read_text("utf-8")


def test_the_table_says_what_the_profiles_say():
    rows = dict(re.findall(r"^\| `([\w-]+)` \| (.*) \|$", TEXT, re.MULTILINE))
    assert rows.keys() == PROFILES.keys()
    for name, row in rows.items():
        _, ten, cohesive, units, _ = (cell.strip() for cell in row.split("|"))
        assert ten == ("yes" if PROFILES[name].second_order else "no"), name
        assert (cohesive == "yes") == PROFILES[name].cohesive, name
        assert tuple(units.split(", ")) == PROFILES[name].units, name
