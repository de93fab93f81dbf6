"""The mutation run itself: it draws what a seed says, spoils one line, and tells a test that notices from one that
does not. Needs Cosmic Ray, which `make mutate` installs."""

import pytest

pytest.importorskip("cosmic_ray", reason="Cosmic Ray is not installed: make mutate does so")

from tools import mutate

GATE = """def may_enter(age: int | None) -> bool:
    return age is not None and age >= 18
"""
IMPORT = "from helpers.gate import may_enter\n\ndef test():\n"
STRICT = IMPORT + "    assert [may_enter(age) for age in (None, 17, 18, 19)] == [0, 0, 1, 1]\n"
LAX = IMPORT + "    may_enter(19)\n"


@pytest.fixture
def tree(tmp_path, monkeypatch):
    (tmp_path / "helpers").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "helpers" / "__init__.py").write_text("")
    (tmp_path / "helpers" / "gate.py").write_text(GATE)
    (tmp_path / "tests" / "test_strict.py").write_text(STRICT)
    (tmp_path / "tests" / "test_lax.py").write_text(LAX)
    monkeypatch.setattr(mutate, "ROOT", tmp_path)
    monkeypatch.setattr(mutate, "COPIED", ("helpers", "tests"))
    return tmp_path


def test_every_guard_and_its_tests_exist():
    for module, tests in mutate.GUARDS.items():
        assert (mutate.ROOT / mutate._path(module)).is_file()
        for test in tests:
            assert (mutate.ROOT / "tests" / f"{test}.py").is_file()


def test_a_seed_draws_the_same_places_each_once(tree):
    chosen, places = mutate.draw(["gate"], 300, seed=3)
    assert (chosen, places) == mutate.draw(["gate"], 300, seed=3)
    assert len(chosen) == places >= 4
    assert all(mutant.place[0] == 2 for mutant in chosen), "annotations are left alone"
    assert all(mutant.source() != GATE for mutant in chosen)


@pytest.mark.parametrize("test", ["test_strict", "test_lax"])
def test_who_survives(tree, monkeypatch, test, capsys):
    monkeypatch.setattr(mutate, "GUARDS", {"gate": (test,)})
    chosen = [m for m in mutate.draw(["gate"], 300, seed=0)[0] if "Comparison" in m.operator or "Number" in m.operator]
    tried, survivors = mutate.run(chosen, jobs=2, until=float("inf"))
    assert tried == len(chosen) >= 3
    assert bool(survivors) == (test == "test_lax")
    assert capsys.readouterr().out.count("survived: helpers/gate.py:2  return age is not None") == len(survivors)
    assert (tree / "helpers" / "gate.py").read_text() == GATE


def test_tests_that_fail_anyway_prove_nothing(tree, monkeypatch):
    monkeypatch.setattr(mutate, "GUARDS", {"gate": ("test_strict",)})
    (tree / "tests" / "test_strict.py").write_text("def test():\n    assert False\n")
    with pytest.raises(SystemExit, match="fail without any mutant"):
        mutate.run(mutate.draw(["gate"], 1, seed=0)[0], jobs=1, until=float("inf"))
