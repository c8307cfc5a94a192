"""The ledger: what is in it, and that its page, in a real browser, shows it."""

import json
import re

import numpy as np
import pytest

import graphflow as gf
from graphflow.loop.partition import partition
from graphflow.viz.ledger import ledger
from graphflow.viz.subject import subject_of
from tests.viz import models
from tests.viz.browser import Page, open_browser

LIMIT = 2_000_000  # bytes of a page


@pytest.fixture(scope="module")
def browser():
    driver = open_browser()
    yield driver
    driver.quit()


def opened(browser, tmp_path, model):
    """(the page of a model's ledger, the ledger)."""
    found = ledger(*model(), vectors=model is models.convolution)
    path = found.save(tmp_path / "ledger.html")
    assert path.stat().st_size < LIMIT
    return Page(browser, path), found


# --- what is in it --------------------------------------------------------------------------------------------------------


def test_every_pass_says_what_it_did_and_where():
    fetches, feeds = models.mlp()
    found = ledger(fetches, feeds).data
    stages = {stage["name"]: stage for stage in found["stages"]}
    assert next(iter(stages)) == "built" and next(reversed(stages)) == "groups"
    (add_zero,) = [rule for rule in stages["canonicalize"]["fired"] if rule["name"] == "add_zero"]
    assert add_zero["equation"] == "x + 0 -> x" and add_zero["count"] == 1
    before, after, known_before, known_after = add_zero["places"][0]
    assert (found["texts"][before], found["texts"][after]) == ("out/add", "out/matmul") and known_before and known_after
    gone = {found["texts"][k] for k in stages["canonicalize"]["gone"]}
    assert "out/add" in gone
    assert json.loads(ledger(fetches, feeds).to_json())["title"] == found["title"]


def test_kernels_have_texts_work_and_lines():
    fetches, feeds = models.mlp()
    found = ledger(fetches, feeds).data
    (first,) = [k for k in found["kernels"] if k["name"].startswith("matmul_add_tanh")]
    assert first["flops"] >= 2 * 32 * 64 * 32 and first["bytes"] == 4 * (32 * 64 + 64 * 32 + 32 + 32 * 32)
    assert "def kernel(" in first["source"] and "for i0 in range" in first["loops"] and "tanh(" in first["loops"]
    assert re.fullmatch(r"\d+ x \w+", first["vector"]) or first["vector"] == "those of the matrix product"
    assert all(re.search(r"models\.py:\d+$", line) for line in first["lines"])
    without = ledger(fetches).data
    assert without["memory"] is None and all(k["bytes"] is None for k in without["kernels"])


def test_memory_peaks_where_most_is_alive():
    fetches, feeds = models.mlp()
    memory = ledger(fetches, feeds).data["memory"]
    assert memory["live"][memory["peak"]] == max(memory["live"]) <= memory["arena"]
    assert all(offset + size <= memory["arena"] for _, size, _, _, offset in memory["ranges"])


def test_refusals_name_groups_by_their_numbers():
    fetches, _ = models.mlp()
    program = subject_of(fetches).executable.program
    groups = partition(program)
    refused = [refusal for group in groups for refusal in group.refused]
    assert refused
    for group in groups:
        for refusal in group.refused:
            other = groups[refusal.group]
            assert other.number == refusal.group and str(refusal) in group.remarks
            shared = {t for node in other.members for t in (*node.inputs, *node.outputs)}
            reached = {t for node in group.members for t in node.inputs}
            assert shared & reached, "what was tried has a buffer in common"


def test_a_profile_gives_measured_times(rng):
    fetches, feeds = models.mlp()
    values = [
        rng.standard_normal(shape).astype(t.dtype.numpy) if t.dtype.is_floating else np.zeros(shape, np.int32)
        for t, shape in feeds.items()
    ]
    given = dict(zip(feeds, values, strict=True))
    with gf.Session() as session:
        session.run(gf.global_variables_initializer())
        with gf.profile() as measured:
            for _ in range(3):
                session.run(fetches, given)
        found = session.ledger(fetches, given, measured).data
    assert all(kernel["seconds"] > 0 for kernel in found["kernels"])
    rows = {row for row, _, began, ended in found["timeline"] if began <= ended}
    assert rows == {kernel["row"] for kernel in found["kernels"]}


def test_the_page_allows_its_own_scripts_only(tmp_path):
    fetches, feeds = models.scan()
    text = ledger(fetches, feeds).save(tmp_path / "ledger.html").read_text(encoding="utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text).group(1)
    assert policy.startswith("default-src &#x27;none&#x27;") and "unsafe" not in policy
    assert not re.search(r"""(src|href)\s*=\s*["']""", text.partition("<script")[0]) and "http:" not in text.replace(
        "http://www.w3.org/2000/svg", ""
    )


# --- in a browser ---------------------------------------------------------------------------------------------------------


def test_scopes_open_and_close(browser, tmp_path):
    page, _ = opened(browser, tmp_path, models.mlp)
    assert page.has('.box.scope[data-scope="/hidden"]') and page.count('[data-key="hidden/tanh"]') == 0
    page.click('[data-scope="/hidden"]')
    assert page.has('[data-key="hidden/tanh"]')
    shown = page.text('[data-key="hidden/tanh"]')
    assert "tanh" in shown and "float32[x.0, 32]" in shown and "models.py:" in shown
    assert any(
        "float32" in text for text in page.js("return [...document.querySelectorAll('text.type')].map((t) => t.textContent)")
    )
    page.click('.frame[data-scope="/hidden"] text')
    page.has('.box.scope[data-scope="/hidden"]')
    assert page.count('[data-key="hidden/tanh"]') == 0
    assert page.complaints() == []


def test_the_slider_shows_what_a_pass_did(browser, tmp_path):
    page, found = opened(browser, tmp_path, models.mlp)
    page.stage(found.stages.index("canonicalize"))
    page.wait("return document.getElementById('stage').textContent.startsWith('canonicalize')")
    panel = page.text("#panel")
    assert "add_zero" in panel and "x + 0 -> x" in panel
    page.click("#before")
    page.click('[data-scope="/out"]')
    assert page.has('[data-key="out/add"].gone')
    page.click("#before")
    page.has('[data-key="out/matmul"]')
    assert page.count('[data-key="out/add"]') == 0
    assert page.complaints() == []


def test_a_kernel_shows_its_code(browser, tmp_path):
    page, found = opened(browser, tmp_path, models.convolution)
    page.choose("kernels")
    name = next(group["name"] for group in found.data["groups"] if "convolution_relu" in group["name"])
    page.click(f'.box.scope[data-scope="/{name}"]')
    assert page.wait("return document.querySelector('#panel .source')")
    assert "def kernel(" in page.text("#panel .source") and "relu(" in page.text("#panel .loops")
    panel = page.text("#panel")
    assert "models.py:" in panel and "per byte" in panel and "x float" in panel and "at best" in panel
    assert page.count("#panel .roofline .dot") == 1
    page.click('[data-tab="kernels"]')
    assert page.count("#sheet tr[data-kernel]") == len(found.data["kernels"])
    assert page.complaints() == []


def test_the_page_says_why_two_nodes_are_not_fused(browser, tmp_path):
    page, found = opened(browser, tmp_path, models.mlp)
    page.stage(len(found.stages) - 1)
    groups = found.data["groups"]
    name, number, reason = next(g["refused"][0] for g in groups if g["refused"])
    page.search(groups[number]["members"][-1]), page.pick()
    page.has("#why")
    page.click("#why")
    page.js("document.getElementById('close').click()")
    page.search(name), page.pick()
    assert reason in page.wait("return (document.getElementById('because') || {}).textContent")


def test_search_finds_and_goes_there(browser, tmp_path):
    page, _ = opened(browser, tmp_path, models.scan)
    assert any(name.endswith("scan/tanh") for name in page.search("scan tanh"))
    page.pick()
    page.has(".box.selected")
    assert "scan/tanh" in page.text("#selected")
    assert page.search("no such thing") == []
    assert page.complaints() == []


def test_a_gradient_points_at_its_twin(browser, tmp_path):
    page, found = opened(browser, tmp_path, models.mlp)
    texts, boxes = found.data["texts"], found.data["boxes"]
    forward, gradient = next((texts[b[8]], texts[b[0]]) for b in boxes if b[8] >= 0 and texts[b[8]] == "hidden/tanh")
    page.click('[data-scope="/hidden"]')
    page.search(gradient), page.pick()
    page.has(".box.selected")
    page.point_at(f'[data-key="{gradient}"]')
    assert page.has(f'[data-key="{forward}"].twin')


def test_memory_and_time_are_pictures(browser, tmp_path):
    page, found = opened(browser, tmp_path, models.mlp)
    page.click('[data-tab="memory"]')
    assert page.count("#plan .range") == len(found.data["memory"]["ranges"])
    assert found.data["memory"]["ranges"][0][0] in page.text("#sheet") and page.count("#held tr") > 0
    page.click('[data-tab="timeline"]')
    assert page.count("#times .bar") == len(found.data["kernels"])
    page.click("#theme")
    assert page.js("return document.documentElement.dataset.theme") in ("dark", "light")
    assert page.complaints() == []


def test_script_in_a_name_does_not_run(browser, tmp_path):
    evil = "<img src=x onerror=window.evil=1></script><script>window.evil=1</script>\"'`"

    def model():
        x = gf.placeholder(gf.float32, [2, 3], name=evil)
        with gf.name_scope("<svg onload=window.evil=1>"):
            y = gf.tanh(x + 1.0, name=evil + "z" * 9_000)
        return [y], {x: (2, 3)}

    page, _ = opened(browser, tmp_path, model)
    assert page.search("onerror")
    page.pick()
    page.has(".box.selected")
    for tab in ("kernels", "memory", "timeline", "graph"):
        page.click(f'[data-tab="{tab}"]')
    assert page.js("return window.evil === undefined") and page.count("#panel img, #sheet img, #graph img") == 0
    assert page.complaints() == []


def test_a_picture_alone_has_a_page(browser, tmp_path):
    fetches, feeds = models.scan()
    drawn = gf.viz.from_json(gf.viz.to_json(fetches, "groups", feeds))
    page = Page(browser, gf.viz.save(drawn, tmp_path / "picture.html"))
    page.choose("kernels")
    page.click(".box.scope")
    page.click('[data-tab="memory"]')
    assert "when sizes are known" in page.text("#sheet") and page.complaints() == []


def test_a_notebook_shows_the_page_in_a_frame(browser, tmp_path):
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html><body>{ledger(*models.scan())._repr_html_()}</body>", encoding="utf-8")
    page = Page(browser, path, frame=True)
    assert page.has(".box.scope") and page.complaints() == []


def test_a_large_graph_shows_so_much_at_once(browser, tmp_path):
    def blocks():
        x = y = gf.placeholder(gf.float32, [2], name="x")
        for k in range(13):
            with gf.name_scope(f"block_{k}"):
                for _ in range(35):
                    y = gf.sin(y)
        return [y], {x: (2,)}

    page, found = opened(browser, tmp_path, blocks)
    assert len(found.data["stages"][0]["boxes"]) == 13 * 35 + 1
    for k in range(13):
        page.click(f'.box.scope[data-scope="/block_{k}"]')
        page.has(f'.frame[data-scope="/block_{k}"]')
    assert 300 < page.count(".box") <= 400 and page.count('.box.scope[data-scope="/block_0"]') == 1, "the first one closed again"
    assert page.complaints() == []
