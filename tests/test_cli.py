"""The command line: each command does what it says, on a script of its own and in a cache of its own."""

import json

import pytest

import graphflow as gf
from graphflow.cli import main

SCRIPT = """
import sys
import graphflow as gf

x = gf.placeholder(gf.float32, [3])
y = gf.exp(x) * 2
with gf.Session() as session:
    print(session.run(y, {x: [1, 2, 3]}).shape, sys.argv[1:])
sys.exit(0)
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "model.py"
    path.write_text(SCRIPT)
    with gf.Graph().as_default(), gf.options(cache=str(tmp_path / "cache")):
        yield str(path)


def test_info_names_versions_processor_and_cache(capsys):
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    for word in ("graphflow", "numba", "LLVM", "processor", "threads", "matrix products", "in the cache"):
        assert word in text
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == gf.__version__


def test_the_cache_is_listed_explained_and_cleared(script, capsys):
    assert main(["cache", "ls"]) == 0
    assert "nothing" in capsys.readouterr().out
    assert main(["cache", "explain", script, "a", "--b"]) == 0
    out = capsys.readouterr().out
    assert "(3,) ['a', '--b']" in out and "first time" in out and "model.py:6" in out
    main(["cache", "ls"])
    assert "this one" in capsys.readouterr().out
    main(["cache", "clear"])
    assert "files deleted" in capsys.readouterr().out
    main(["cache", "ls"])
    assert "nothing" in capsys.readouterr().out


def test_scripts_are_drawn_and_profiled(script, tmp_path, capsys):
    assert main(["viz", "-o", str(tmp_path / "a.svg"), script]) == 0
    assert "exp" in (tmp_path / "a.svg").read_text()
    assert main(["viz", "--graph", "-o", str(tmp_path / "a.json"), script]) == 0
    assert main(["viz", "-o", str(tmp_path / "b.dot"), str(tmp_path / "a.json")]) == 0
    assert "exp" in (tmp_path / "b.dot").read_text()
    capsys.readouterr()
    assert main(["profile", "-o", str(tmp_path / "folder"), script]) == 0
    assert "1 runs took" in capsys.readouterr().out
    assert json.loads((tmp_path / "folder" / "profile.json").read_text())["runs"] == 1


def test_what_fails_says_so(script, capsys):
    assert main(["viz", "-o", "x.svg", "no such file.py"]) == 1
    assert "there is no file" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["cache"])
