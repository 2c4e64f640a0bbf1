"""ComfyUI's page with Modiste on it: drawn, clicked, reloaded, attacked, in a real browser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from comfy_page.browser import PROGRAM, Page, chromium
from comfy_page.server import Server, serving, translations

pytest.importorskip("websocket", reason="the browser is driven over a WebSocket: pip install websocket-client")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(PROGRAM is None, reason="chromium is missing: install it with the system's package manager"),
]

EVIL = '"><img src=x onerror="document.title=`ran`"><script>document.title=`ran`</script>'
GROUPS = [
    {"id": "category", "names": {"en": "category", "zh-TW": "類別", "zh": "类别"}, "colour_index": 0},
    {"id": "colour", "names": {"en": "colour", "zh-TW": "顏色"}, "colour_index": 1},
    {"id": "neckline", "names": {"en": "neckline", "zh-TW": "領型"}, "colour_index": 2},
]
GROUPS[1]["labels"] = {"red": {"text": "red", "names": {"en": "red", "zh-TW": "紅色"}}}
GROUPS[2]["labels"] = {"v_neck": {"text": "V-neck", "names": {"en": "V-neck", "zh-TW": "V領", "zh": "V领"}}}
TAGS = [
    {"group": "colour", "label": "red", "text": "red", "confidence": 0.91},
    {"group": "category", "label": "dress", "text": "dress", "confidence": 0.97},
    {"group": "neckline", "label": "v_neck", "text": "V-neck", "confidence": 0.42},
]


SEARCH = {"strategy": "sentence", "prompt": "a red dress", "similarity": 0.7, "baseline": 0.5}
SEARCH |= {"interval": [0.1, 0.3], "improved": True}
ROW = {"strength": 0.8, "similarity": 0.6, "gain": 0.1, "interval": [-0.02, 0.22]}


@pytest.fixture(scope="module")
def server():
    with serving() as served:
        yield served


@pytest.fixture(scope="module")
def browser(tmp_path_factory, server):
    with chromium(tmp_path_factory.mktemp("browser")) as page:
        page.open(f"{server.url}/", "window.ready")
        yield page


@pytest.fixture
def page(browser: Page, server: Server):
    """The page with an empty graph; it must end without an error, and without a request to anywhere else."""
    # By way of a picture, which runs no script: the page of the test before asks for its runs no more.
    browser.open(f"{server.url}/view", "location.pathname === '/view'")
    server.runs, server.listed, server.groups, server.tagged, server.asked = {}, [], GROUPS, None, []
    browser.run("localStorage.clear(), sessionStorage.clear()")
    browser.problems.clear()
    browser.requests.clear()
    browser.open(f"{server.url}/", "window.ready")
    yield browser
    assert browser.problems == []
    assert [url for url in browser.requests if not url.startswith((server.url, "data:"))] == []
    assert browser.run("document.title") == "nothing ran"


def add(page: Page, kind: str) -> None:
    """A node of that kind, as `window.node`."""
    page.run(f"app.add('{kind}').then((made) => {{ window.node = made }})")


def execute(page: Page, **output) -> None:
    """The node has run and gave `output`."""
    page.run(f"void node.onExecuted({json.dumps(output)})")


def values(page: Page) -> dict[str, str]:
    return page.run("Object.fromEntries(node.widgets.map((widget) => [widget.name, widget.value]))")


def texts(page: Page, selector: str) -> list[str]:
    return page.run(f"[...document.querySelectorAll({json.dumps(selector)})].map((each) => each.textContent)")


def chip(key: str) -> str:
    return f'.modiste-chip[data-key="{key}"]'


# ── chips ──


def test_a_chip_is_drawn_for_every_tag_in_the_vocabularys_order_with_its_confidence(page):
    add(page, "ModisteTagger")
    execute(page, modiste_tags=[{"image": 0, "tags": TAGS, "caption": "a red dress with a V-neck"}])
    assert texts(page, ".modiste-group-name") == ["category", "colour", "neckline"]
    assert texts(page, ".modiste-chip") == ["dress97", "red91", "V-neck42"]
    assert texts(page, ".modiste-caption") == ["a red dress with a V-neck"]
    page.run("app.extensionManager.setting.set('Modiste.Tags.Confidences', false)")
    assert texts(page, ".modiste-chip") == ["dress", "red", "V-neck"]


def test_clicks_pin_a_tag_then_exclude_it_then_let_it_go_by_editing_the_nodes_inputs(page):
    add(page, "ModisteTagger")
    execute(page, modiste_tags=[{"image": 0, "tags": TAGS, "caption": ""}])
    seen = []
    for _ in range(3):
        page.click(chip("colour:red"))
        state = page.run(f"document.querySelector('{chip('colour:red')}').dataset.state")
        seen.append((state, values(page)["pin"], values(page)["exclude"]))
    assert seen == [("pinned", "colour:red", ""), ("excluded", "", "colour:red"), ("none", "", "")]


def test_a_click_is_told_to_the_host_once_it_is_written_so_that_undo_and_a_reload_know_of_it(page):
    add(page, "ModisteTagger")
    execute(page, modiste_tags=[{"image": 0, "tags": TAGS, "caption": ""}])
    page.run(
        """app.extensionManager.workflow = { activeWorkflow: { changeTracker: { checkState() {
          window.told = node.widgets.find(({ name }) => name === 'pin').value
        } } } }, true"""
    )
    page.click(chip("colour:red"))
    assert page.run("told") == "colour:red"


def test_the_keyboard_alone_walks_and_chooses_chips(page):
    add(page, "ModisteTagger")
    execute(page, modiste_tags=[{"image": 0, "tags": TAGS, "caption": ""}])
    page.run(f"document.querySelector('{chip('category:dress')}').focus()")
    page.press("ArrowRight")  # the next group's name
    page.press("ArrowRight")  # its chip
    page.press("Enter")
    assert values(page)["pin"] == "colour:red"
    assert page.run("document.activeElement.dataset.key") == "colour:red"
    assert "pinned" in page.run("document.activeElement.getAttribute('aria-label')")
    assert page.run("document.querySelectorAll('.modiste-chip-groups [tabindex=\"0\"]').length") == 1


def test_an_excluded_tag_that_is_no_longer_found_can_be_taken_back(page):
    add(page, "ModisteTagger")
    page.run("node.widgets.find(({ name }) => name === 'exclude').value = 'neckline:boat_neck, style'")
    execute(page, modiste_tags=[{"image": 0, "tags": TAGS, "caption": ""}])
    page.click(chip("neckline:boat_neck"))
    assert values(page)["exclude"] == "style"
    page.click('.modiste-group-name[data-key="style"]')
    assert values(page)["exclude"] == ""


def test_a_value_typed_by_hand_redraws_the_chips_and_a_linked_input_locks_them(page):
    add(page, "ModisteTagger")
    execute(page, modiste_tags=[{"image": 0, "tags": TAGS, "caption": ""}])
    page.run(
        "{ const pin = node.widgets.find(({ name }) => name === 'pin'); pin.value = 'colour:red'; pin.callback() }"
    )
    assert page.run(f"document.querySelector('{chip('colour:red')}').dataset.state") == "pinned"
    page.run("node.inputs.find(({ name }) => name === 'pin').link = 7")
    execute(page, modiste_tags=[{"image": 0, "tags": TAGS, "caption": ""}])
    page.click(chip("colour:red"))
    assert values(page)["pin"] == "colour:red" and values(page)["exclude"] == ""


def test_each_photo_of_a_batch_has_its_own_chips(page):
    add(page, "ModisteTagger")
    photos = [{"image": at, "tags": [TAGS[at]], "caption": f"photo {at}"} for at in range(3)]
    execute(page, modiste_tags=photos)
    page.click('.modiste-tabs [role="tab"]:nth-child(3)')
    assert texts(page, ".modiste-chip") == ["V-neck42"] and texts(page, ".modiste-caption") == ["photo 2"]


# ── the height of results ──


def heights(page: Page) -> dict[str, float]:
    """Of the node, of what its widgets need, and of the results within."""
    return page.run(
        "({ node: node.size[1], least: node.computeSize()[1], "
        "results: document.querySelector('.modiste-content').offsetHeight })"
    )


FRAME = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"


def test_a_node_is_as_high_as_its_results_and_keeps_what_a_person_has_added(page):
    add(page, "ModisteTagger")
    page.run(FRAME)
    empty = heights(page)
    assert empty["node"] == empty["least"] and empty["results"] < 60, "a hint needs no more than its line"
    page.run("node.setSize([420, node.size[1] + 50])")
    execute(page, modiste_tags=[{"image": 0, "tags": TAGS, "caption": "a red dress with a V-neck"}])
    page.run(FRAME)
    full = heights(page)
    assert full["results"] > empty["results"] + 60 and full["node"] == full["least"] + 50
    page.run("app.keep()")
    page.reload("window.ready")
    page.until("window.node = app.graph.nodes[0]")
    page.run(FRAME)
    assert heights(page) == full, "a reload adds nothing"


def test_results_fold_to_one_line_that_says_what_they_are_and_stay_so_in_the_saved_graph(page):
    add(page, "ModisteScorer")
    assert page.run("document.querySelector('.modiste-fold').hidden"), "there is nothing to fold yet"
    execute(page, modiste_scores=scores(0.61), modiste_best=[0])
    page.run(FRAME)
    full = heights(page)
    page.run("document.querySelector('.modiste-fold').focus()")
    page.press("Enter")
    page.run(FRAME)
    folded = heights(page)
    assert folded["results"] < 40 and folded["node"] == full["node"] - full["results"] + folded["results"]
    assert texts(page, ".modiste-gist") == ["61 · Close, not the same"]
    page.run("app.keep()")
    page.reload("window.ready")
    page.until("document.querySelector('.modiste-fold')?.getAttribute('aria-expanded') === 'false'")
    assert page.run("document.querySelector('.modiste-score').hidden")
    page.click(".modiste-fold")
    assert not page.run("document.querySelector('.modiste-score').hidden")


@pytest.mark.parametrize(
    ("kind", "output", "gist"),
    [
        ("ModisteTagger", {"modiste_tags": [{"image": 0, "tags": TAGS, "caption": "a red dress"}]}, "a red dress"),
        ("ModistePromptSearch", {"modiste_search": [SEARCH]}, "70 · a red dress"),
        ("ModisteCompare", {"modiste_compare": [{"rows": [ROW], "verdict": "not proven"}]}, "not proven"),
    ],
)
def test_every_folded_node_says_its_gist(page, kind, output, gist):
    add(page, kind)
    execute(page, **output)
    page.click(".modiste-fold")
    assert texts(page, ".modiste-gist") == [gist]


def test_a_fields_example_reaches_the_widgets_of_nodes_two(page):
    add(page, "ModisteTagger")
    assert page.run("node.widgets.find(({ name }) => name === 'pin').options.placeholder").startswith("colour:red")


# ── templates ──


def test_a_template_is_opened_in_the_pages_language_and_what_a_person_wrote_stays(page):
    words = translations()
    english, chinese = words["en"]["modiste_templates"], words["zh-TW"]["modiste_templates"]
    graph = {
        "groups": [{"title": english["group_photo"]}, {"title": "mine"}],
        "nodes": [
            {"type": "MarkdownNote", "widgets_values": [english["note_tag"] + "\n"]},
            {"type": "MarkdownNote", "widgets_values": [english["note_tag"] + " and mine"]},
            {"type": "CLIPTextEncode", "widgets_values": [english["group_photo"]], "title": english["title_report"]},
        ],
    }
    for node, title in zip(graph["nodes"], ("title_note", "title_models"), strict=False):
        node["title"] = english[title]
    opened = f"[{json.dumps(graph)}].map((graph) => (app.extensions[0].beforeConfigureGraph(graph), graph))[0]"
    assert page.run(opened) == graph
    page.run("app.extensionManager.setting.set('Comfy.Locale', 'zh-TW')")
    page.reload("window.ready")
    told = page.run(opened)
    assert [group["title"] for group in told["groups"]] == [chinese["group_photo"], "mine"]
    notes = [node["widgets_values"][0] for node in told["nodes"]]
    titles = [node["title"] for node in told["nodes"]]
    assert titles == [chinese["title_note"], chinese["title_models"], english["title_report"]], "of notes and previews"
    assert notes == [chinese["note_tag"], english["note_tag"] + " and mine", english["group_photo"]]


def test_commands_speak_the_pages_language_wherever_the_host_does_not_translate_them(page):
    page.run("app.extensionManager.setting.set('Comfy.Locale', 'zh-TW')")
    page.reload("window.ready")
    assert page.run("app.extensions[0].commands.map(({ label }) => label())") == [
        "Modiste：標記這張圖",
        "Modiste：比較訓練紀錄",
    ]


# ── the prompt's fields ──


def test_a_locked_field_is_written_as_json_while_it_is_typed_and_released_again(page):
    add(page, "ModistePromptBuilder")
    page.run("{ const add = document.querySelector('.modiste-add'); add.value = 'colour'; add.onchange }")
    page.run("document.querySelector('.modiste-add').dispatchEvent(new Event('change'))")
    page.type("emerald green")
    assert json.loads(values(page)["locks"]) == {"colour": "emerald green"}
    assert page.run("document.activeElement.value") == "emerald green"
    page.click(".modiste-lock button")
    assert values(page)["locks"] == ""


def test_locks_that_are_no_json_are_shown_as_broken_and_never_written_over(page):
    add(page, "ModistePromptBuilder")
    page.run("{ const w = node.widgets.find(({ name }) => name === 'locks'); w.value = '{colour'; w.callback() }")
    assert "correct it by hand" in texts(page, ".modiste-prompt-fields .modiste-hint")[0]
    assert page.run("document.querySelector('.modiste-add').hidden") and values(page)["locks"] == "{colour"


# ── the gauge ──


def scores(*similarities: float, kind: str = "measured") -> list[dict]:
    anchors = {"kind": kind, "raw_zero": 0.6, "raw_hundred": 0.9}
    apart = [{"group": "neckline", "reference": "V-neck", "image": "crew neck"}]
    return [
        {"image": at, "similarity": one, "raw_cosine": 0.7, "anchors": anchors, "differences": apart if one < 1 else []}
        for at, one in enumerate(similarities)
    ]


def test_the_gauge_shows_the_best_image_first_and_any_other_on_a_click(page):
    add(page, "ModisteScorer")
    execute(page, modiste_scores=scores(0.25, 1.0), modiste_best=[1, 0])
    assert texts(page, ".modiste-figure strong") == ["100"] and "number 1 of 2" in texts(page, ".modiste-figure")[0]
    full = page.run("document.querySelector('.modiste-ruler .fill').width.baseVal.value")
    page.click('.modiste-rank [data-image="0"]')
    quarter = page.run("document.querySelector('.modiste-ruler .fill').width.baseVal.value")
    assert texts(page, ".modiste-figure strong") == ["25"] and quarter == pytest.approx(full / 4)
    assert texts(page, ".modiste-differences li") == ["necklineV-neck→crew neck"]


def test_generic_anchors_are_said_so_and_measured_ones_name_their_ends(page):
    add(page, "ModisteScorer")
    execute(page, modiste_scores=scores(0.5), modiste_best=[0])
    assert "measured on real pairs, 0.60 to 0.90" in texts(page, ".modiste-fine")[0]
    execute(page, modiste_scores=scores(0.5, kind="generic"), modiste_best=[0])
    assert "not for absolute claims" in texts(page, ".modiste-fine")[0]


# ── the loss curve ──


def event(step: int, **more) -> dict:
    known = {"node": "1", "run": "r1", "stage": "train", "done": step, "total": 100, "message": "", "eta_s": 75.0}
    known |= {"loss": 1 / (step + 1), "rate": 1e-4, "memory_mb": 2048.0, "held_out": None}
    return known | {"checkpoint": None, "sample": None} | more


def send(page: Page, name: str, *details: dict) -> None:
    for detail in details:
        page.run(f"void api.dispatchEvent(new CustomEvent('{name}', {{ detail: {json.dumps(detail)} }}))")


def account(**more) -> dict:
    steps = list(range(1, 41))
    known = {"run": "r1", "node": "1", "state": "running", "total": 100, "losses": [[s, 1 / s] for s in steps]}
    known |= {"rates": [[s, 1e-4] for s in steps], "checkpoints": [20, 40], "eta_s": 60, "memory_mb": 4096}
    known["held_out"] = [
        {"step": s, "loss": 0.5 - s / 100, "mean": s / 100, "low": 0, "high": 0.1} for s in (0, 20, 40)
    ]
    known["samples"] = [{"step": 20, "url": "/view?filename=a.png&type=output&subfolder=modiste"}]
    return known | {"file": None, "reason": "", "message": ""} | more


LINE = {"run": "r1", "node": "1", "title": "my dress", "state": "running", "steps": 40, "total": 100, "best_step": None}
LINE |= {"gain": None, "file": None, "started": 1.0}


def test_the_curve_grows_with_every_event_and_tells_step_eta_rate_and_memory(page):
    add(page, "ModisteLoraTrainer")
    sample = "/view?filename=s.png&type=output"
    send(page, "modiste.training", *(event(step) for step in range(1, 11)))
    short = page.run("document.querySelector('.modiste-curve .smooth').getTotalLength()")
    look = {"step": 20, "loss": 0.2, "mean": 0.1, "low": 0.0, "high": 0.2}
    send(page, "modiste.training", event(20, held_out=look, checkpoint=20, sample=sample))
    assert page.run("document.querySelector('.modiste-curve .smooth').getTotalLength()") > short
    assert texts(page, ".modiste-figures dd") == ["20 / 100", "1 min 15 s", "1e-4", "2.0 GB"]
    for mark in (".checkpoint", ".sample", ".held-point", ".rate"):
        assert page.run(f"document.querySelectorAll('.modiste-curve {mark}').length") == 1, mark
    assert page.run("document.querySelector('.modiste-samples img').getAttribute('src')") == sample


def test_what_comes_before_and_after_the_steps_is_told_without_touching_the_steps(page):
    add(page, "ModisteLoraTrainer")
    send(page, "modiste.training", event(10), event(5, stage="latents", total=20, loss=None, message="a.jpg"))
    assert texts(page, ".modiste-figures dd")[0] == "10 / 100"
    assert texts(page, ".modiste-message") == ["Encoding photos · 5 / 20 · a.jpg"]
    assert page.run("document.querySelector('.modiste-bar').getAttribute('aria-valuenow')") == "25"


def test_the_pointer_and_the_arrow_keys_read_the_curve_off(page):
    add(page, "ModisteLoraTrainer")
    send(page, "modiste.training", *(event(step) for step in range(1, 31)))
    box = page.run("document.querySelector('svg.modiste-curve').getBoundingClientRect().toJSON()")
    page.hover(box["x"] + box["width"] * 0.3, box["y"] + 60)
    assert "step 2" in texts(page, ".modiste-readout")[0] and "rate 1e-4" in texts(page, ".modiste-readout")[0]
    page.run("document.querySelector('svg.modiste-curve').focus()")
    page.press("ArrowLeft")
    assert "step 28" in texts(page, ".modiste-readout")[0]


def test_a_running_training_is_taken_up_again_after_a_reload_and_goes_on(page, server):
    add(page, "ModisteLoraTrainer")
    server.runs["r1"], server.listed = account(), [LINE]
    page.run("app.keep()")
    page.reload("window.ready")
    page.until("document.querySelector('.modiste-curve .smooth')")
    assert texts(page, ".modiste-figures dd")[0] == "40 / 100"
    assert page.run("document.querySelectorAll('.modiste-curve .checkpoint').length") == 2
    send(page, "modiste.training", event(41))
    assert texts(page, ".modiste-figures dd")[0] == "41 / 100"


def test_a_cancelled_training_is_shown_as_stopped_and_still_so_after_a_reload(page, server):
    add(page, "ModisteLoraTrainer")
    send(page, "modiste.training", event(1))
    server.runs["r1"] = account(state="stopped")
    send(page, "execution_interrupted", {"node_id": "1"})
    page.until("document.querySelector('.modiste-state').dataset.state === 'stopped'")
    page.run("app.keep()")
    page.reload("window.ready")
    page.until("document.querySelector('.modiste-state')?.dataset.state === 'stopped'")


def test_a_server_that_was_gone_tells_at_its_return_that_a_training_has_stopped(page, server):
    add(page, "ModisteLoraTrainer")
    send(page, "modiste.training", event(1))
    server.runs["r1"], server.listed = account(state="stopped"), [LINE | {"state": "stopped"}]
    send(page, "reconnected", {})
    page.until("document.querySelector('.modiste-state').dataset.state === 'stopped'")
    assert texts(page, ".modiste-figures dd")[0] == "40 / 100"


def test_a_training_whose_server_was_ended_is_followed_by_asking_the_server_that_came_after(page, server):
    add(page, "ModisteLoraTrainer")
    send(page, "modiste.training", event(1))
    page.run("{ const wait = setTimeout; window.setTimeout = (task, ms, ...more) => wait(task, ms / 50, ...more) }")
    server.runs["r1"], server.listed = account(live=False), [LINE]
    send(page, "reconnected", {})
    page.until("document.querySelector('.modiste-figures dd').textContent === '40 / 100'")
    server.runs["r1"] = account(live=False, losses=[[step, 1 / step] for step in range(1, 53)])
    page.until("document.querySelector('.modiste-figures dd').textContent === '52 / 100'")
    assert page.run("document.querySelector('.modiste-state').dataset.state") == "running"
    server.runs["r1"] = account(state="stopped", live=False, message="queue it again")
    page.until("document.querySelector('.modiste-state').dataset.state === 'stopped'")
    assert "queue it again" in "".join(texts(page, ".modiste-training"))


def test_of_two_trainings_in_the_queue_the_second_is_shown_though_the_account_of_the_first_comes_late(page, server):
    add(page, "ModisteLoraTrainer")
    server.runs["r1"] = account(state="done", file="first.safetensors")
    send(page, "modiste.training", event(100))
    page.run(
        """{
          const asked = api.fetchApi.bind(api)
          const wait = new Promise((done) => { window.answer = done })
          api.fetchApi = (address) => wait.then(() => asked(address)).finally(() => { window.answered = true })
        }"""
    )
    execute(page, modiste_training=[{"run": "r1", "file": "first.safetensors", "best_step": 20, "reason": "least"}])
    assert texts(page, ".modiste-state span") == ["first.safetensors"]
    send(page, "modiste.training", event(3, run="r2"))
    page.run("void answer()")
    page.until("window.answered")
    page.run("new Promise((done) => setTimeout(() => done(true), 100))")
    assert texts(page, ".modiste-state span") == ["r2"] and texts(page, ".modiste-figures dd")[0] == "3 / 100"


def test_a_cancelled_training_that_is_queued_again_goes_on_from_where_it_was(page, server):
    add(page, "ModisteLoraTrainer")
    send(page, "modiste.training", *(event(step) for step in range(1, 11)))
    server.runs["r1"] = account(state="stopped", losses=[[step, 1 / step] for step in range(1, 11)])
    send(page, "execution_interrupted", {"node_id": "1"})
    page.until("document.querySelector('.modiste-state').dataset.state === 'stopped'")
    send(page, "modiste.training", event(11))
    assert page.run("document.querySelector('.modiste-state').dataset.state") == "running"
    assert texts(page, ".modiste-figures dd")[0] == "11 / 100"
    assert page.run("document.querySelector('.modiste-curve .raw').getAttribute('d').split('L').length") == 11


def test_a_finished_node_shows_its_file_and_why_that_step(page, server):
    add(page, "ModisteLoraTrainer")
    server.runs["r1"] = account(state="done", file="fashion-1a2b.safetensors")
    result = {"run": "r1", "file": "fashion-1a2b.safetensors", "best_step": 20, "reason": "step 20 has the least loss"}
    execute(page, modiste_training=[result])
    page.until("document.querySelector('.modiste-curve .best')")
    assert texts(page, ".modiste-state span") == ["fashion-1a2b.safetensors"]
    assert texts(page, ".modiste-message") == ["step 20 has the least loss"]


def test_tags_and_scores_outlive_a_reload_though_the_workflow_file_does_not_hold_them(page):
    add(page, "ModisteTagger")
    execute(page, modiste_tags=[{"image": 0, "tags": TAGS, "caption": "kept"}])
    page.click(chip("colour:red"))
    page.run("app.keep()")
    assert "kept" not in page.run("localStorage.getItem('graph')")
    page.reload("window.ready")
    assert texts(page, ".modiste-caption") == ["kept"]
    assert page.run(f"document.querySelector('{chip('colour:red')}').dataset.state") == "pinned"


def test_a_ready_lora_is_told_once_and_refreshes_the_loaders_lists(page):
    ready = {"node": "1", "run": "r1", "file": "fashion-1a2b.safetensors", "reason": "step 20"}
    send(page, "modiste.lora_ready", ready)
    assert page.run("app.toasts.map(({ detail }) => detail)") == ["fashion-1a2b.safetensors · step 20"]
    assert page.run("app.refreshed") == 1
    page.run("app.extensionManager.setting.set('Modiste.Training.Toast', false)")
    send(page, "modiste.lora_ready", ready)
    assert page.run("[app.toasts.length, app.refreshed]") == [1, 2]


# ── search, comparison, the panel ──


def test_a_search_shows_its_prompt_and_whether_the_gain_is_proven(page):
    add(page, "ModistePromptSearch")
    found = {"strategy": "sentence", "prompt": "a red dress", "similarity": 0.7, "baseline": 0.5}
    execute(page, modiste_search=[found | {"interval": [0.1, 0.3], "improved": True}])
    assert texts(page, ".modiste-prompt") == ["a red dress"] and "Proven better" in texts(page, ".modiste-figure")[0]
    assert "+20.0 points (+10.0 to +30.0)" in texts(page, ".modiste-gain")[0]
    assert page.run("document.querySelector('.modiste-interval').dataset.kind") == "better"


def test_a_comparison_marks_the_best_strength_and_an_interval_that_proves_nothing(page):
    add(page, "ModisteCompare")
    rows = [
        {"strength": 0, "similarity": 0.5, "gain": 0, "interval": [0, 0]},
        {"strength": 0.8, "similarity": 0.6, "gain": 0.1, "interval": [-0.02, 0.22]},
    ]
    execute(page, modiste_compare=[{"rows": rows, "verdict": "not proven"}])
    assert texts(page, '.modiste-table [data-best="true"] th') == ["0.8"] and texts(page, ".modiste-verdict") == [
        "not proven"
    ]
    assert page.run("document.querySelector('.modiste-interval').dataset.kind") == "open"


def test_the_bottom_panel_lists_runs_and_lays_the_chosen_ones_over_one_another(page, server):
    for run in ("r1", "r2", "r3"):
        server.runs[run] = account(run=run)
        server.listed.append(LINE | {"run": run, "title": run, "gain": {"mean": 0.1, "low": 0.02, "high": 0.2}})
    page.run("app.extensions[0].bottomPanelTabs[0].render(document.getElementById('panel'))")
    page.until("document.querySelectorAll('.modiste-overlay .run').length === 2")
    page.click(".modiste-runs tbody tr:nth-child(3) input")
    page.until("document.querySelectorAll('.modiste-overlay .run').length === 3")
    page.click(".modiste-runs tbody tr:nth-child(1) input")
    assert texts(page, ".modiste-overlay .run title") == ["r2", "r3"]
    assert texts(page, ".modiste-runs tbody th") == ["r1", "r2", "r3"]


# ── tag this image ──


@pytest.mark.parametrize("query", ["?menu=new", "?menu=old"])
def test_any_node_with_a_picture_offers_to_tag_it_in_new_and_old_front_ends(page, server, query):
    page.open(f"{server.url}/{query}", "window.ready")
    server.tagged = {"tags": TAGS, "caption": "a red dress"}
    add(page, "PreviewImage")
    items = "app.menuOf(node).filter((item) => item.content.includes('Modiste'))"
    assert page.run(f"{items}.length") == 0
    page.run("node.imgs = [{ src: location.origin + '/view?filename=a%20b.png&subfolder=x&type=temp&rand=1' }]")
    assert page.run(f"{items}.length") == 1
    page.run(f"{items}[0].callback()")
    page.until("document.querySelector('dialog[open]')")
    assert server.asked == [{"image": {"filename": "a b.png", "subfolder": "x", "type": "temp"}}]
    assert texts(page, "dialog .modiste-chip") == ["dress97", "red91", "V-neck42"]
    assert texts(page, "dialog .modiste-notice") == []
    page.press("Escape")
    page.until("!document.querySelector('dialog')")
    server.tagged["notice"] = "the embedded encoder reads the pictures"
    page.run(f"{items}[0].callback()")
    page.until("document.querySelector('dialog[open]')")
    assert texts(page, "dialog .modiste-notice") == ["the embedded encoder reads the pictures"]
    page.press("Escape")
    page.until("!document.querySelector('dialog')")


def test_a_refused_picture_is_said_with_the_servers_own_reason(page):
    page.run(
        "window.node = { id: 5, comfyClass: 'LoadImage', widgets: [{ name: 'image', type: 'combo', value: 'a.png' }] }"
    )
    page.run("app.extensions[0].getNodeMenuItems(node)[0].callback()")
    page.until("app.toasts.length")
    assert page.run("app.toasts[0].detail") == "fashion-clip is missing in models/fashion_clip"
    page.problems.clear()  # the browser itself notes the 400


# ── the arithmetic beneath, without a page ──


def module(browser: Page, name: str, expression: str):
    """The value of an expression in which `m` is web/<name>.js."""
    return browser.run(f"import('/extensions/modiste/{name}.js').then((m) => {expression})")


def test_three_clicks_on_a_chip_leave_both_lists_as_they_were(browser):
    for pin, exclude in [("", ""), ("a:x, b:y", "c:z"), (" b:y ,b:y", "d")]:
        start = json.dumps({"pin": pin, "exclude": exclude})
        clicks = f"[1, 2, 3].reduce(({{pin, exclude}}) => m.cycle('a:new', pin, exclude), {start})"
        again = module(browser, "chips", clicks)
        tidy = module(browser, "chips", f"['{pin}', '{exclude}'].map((text) => m.writeList(m.readList(text)))")
        assert [again["pin"], again["exclude"]] == tidy


def test_a_label_that_would_break_the_list_cannot_be_chosen(browser):
    keys = ["a:b", "a:b,c", "a:b\nc", "a:b "]
    assert module(browser, "chips", f"{json.dumps(keys)}.map(m.writable)") == [True, False, False, False]


def test_a_click_on_a_group_takes_its_tags_out_of_both_lists(browser):
    chosen = module(browser, "chips", "m.toggleGroup('a', 'a:x, ab:y', 'a:z, c')")
    assert chosen == {"pin": "ab:y", "exclude": "c, a"}
    assert module(browser, "chips", "m.toggleGroup('a', 'ab:y', 'c, a')") == {"pin": "ab:y", "exclude": "c"}


def test_a_smoothed_constant_is_that_constant_and_no_smoothing_changes_nothing(browser):
    points = [[step, 0.25] for step in range(1, 50)]
    assert module(browser, "curve", f"m.smooth({points}, 0.97).every(([, v]) => Math.abs(v - 0.25) < 1e-12)")
    noisy = [[1, 3.0], [2, 1.0], [3, 2.0]]
    assert module(browser, "curve", f"m.smooth({noisy}, 0)") == noisy


def test_thinning_keeps_the_steps_in_order_and_never_loses_a_spike(browser):
    points = [[step, 100.0 if step == 777 else (step * 37 % 11) / 10] for step in range(1, 3001)]
    thinned = module(browser, "curve", f"m.thin({points}, 300)")
    assert len(thinned) <= 300 and thinned == sorted(thinned) and [777, 100.0] in thinned


@pytest.mark.parametrize(
    "run",
    [
        {},
        {"losses": [[1, 0.5]], "total": 0},
        {"losses": [[1, 0.0], [2, 0.0]], "total": 2, "rates": [[1, 0.0], [2, 0.0]]},
        {"losses": [[1, None], [2, 1e9], [3, 0.1]], "total": 3, "checkpoints": [1, 3], "samples": [{"step": 2}]},
        {"heldOut": [{"step": 0, "loss": 0.2, "mean": None, "low": None, "high": None}], "total": 9, "bestStep": 0},
    ],
)
def test_whatever_a_run_holds_its_curve_stays_within_its_frame(browser, run):
    plan = module(browser, "curve", f"m.layout({json.dumps(run)}, {{ width: 320, height: 150 }})")
    assert "NaN" not in json.dumps(plan) and "Infinity" not in json.dumps(plan)
    for name in ("raw", "smooth", "rate", "held", "band"):
        numbers = [float(each) for each in plan[name].replace("M", " ").replace("L", " ").replace("Z", "").split()]
        assert all(40 <= x <= 308 for x in numbers[::2]) and all(12 <= y <= 126 for y in numbers[1::2]), name


def test_steps_that_a_resumed_run_tells_again_replace_the_old_ones(browser):
    told = [event(step, loss=step) for step in (1, 2, 3, 2)]
    losses = module(browser, "training", f"{json.dumps(told)}.reduce(m.withEvent, null).losses")
    assert losses == [[1, 1], [2, 2]]


def test_axis_marks_are_round_and_within_the_range(browser):
    for low, high in [(0.071, 0.26), (0, 1000), (1e-5, 3e-5), (2, 2)]:
        marks = module(browser, "scale", f"m.ticks({low}, {high}, 4)")
        assert 1 <= len(marks) <= 6 and all(low <= mark <= high * (1 + 1e-9) for mark in marks), marks


@pytest.mark.parametrize(
    ("node", "outputs", "image"),
    [
        ({"id": 1}, {}, None),
        ({"id": 1}, {"1": {"images": [{"filename": "a.png", "type": "temp"}]}}, ["a.png", "", "temp"]),
        (
            {"id": 1, "widgets": [{"name": "image", "type": "combo", "value": "x/y/a.png"}]},
            {},
            ["a.png", "x/y", "input"],
        ),
        (
            {"id": 1, "widgets": [{"name": "image", "type": "combo", "value": "a.png [output]"}]},
            {},
            ["a.png", "", "output"],
        ),
        ({"id": 1, "imgs": [{"src": "blob:x"}]}, {}, None),
        ({"id": 1, "imgs": [{"src": "/api/view?filename=b.png"}], "imageIndex": 4}, {}, ["b.png", "", "output"]),
    ],
)
def test_the_picture_of_a_node_is_found_wherever_the_front_end_keeps_it(browser, node, outputs, image):
    found = module(browser, "images", f"m.imageOf({json.dumps(node)}, {json.dumps(outputs)})")
    assert (found and [found["filename"], found["subfolder"], found["type"]]) == image


def test_nodes_within_subgraphs_are_named_as_the_server_names_them(browser):
    graph = "{ nodes: [{ id: 1 }, { id: 7, subgraph: { nodes: [{ id: 3, subgraph: { nodes: [{ id: 2 }] } }] } }] }"
    assert module(browser, "images", f"m.executionIds({graph}).map(([id]) => id)") == ["1", "7", "7:3", "7:3:2"]


# ── hostile names stay text ──


def test_hostile_tags_files_prompts_and_addresses_stay_inert_everywhere(page, server):
    server.groups = [
        {"id": EVIL, "names": {"en": EVIL}, "labels": {EVIL: {"text": EVIL, "names": {}}}, "colour_index": 0}
    ]
    server.runs["r1"] = account(run="r1", file=EVIL, message=EVIL, samples=[{"step": 20, "url": EVIL}])
    server.listed = [LINE | {"title": EVIL, "file": EVIL, "node": "4", "gain": {"mean": 0, "low": 0, "high": 0}}]
    server.tagged = {"tags": [{"group": EVIL, "label": EVIL, "text": EVIL, "confidence": 0.5}], "caption": EVIL}
    page.open(f"{server.url}/?evil", "window.ready")
    add(page, "ModisteTagger")
    execute(page, modiste_tags=[{"image": 0, **server.tagged}])
    page.click(".modiste-chip")
    add(page, "ModisteScorer")
    apart = [{"group": EVIL, "reference": EVIL, "image": EVIL}]
    execute(page, modiste_scores=[scores(0.5)[0] | {"differences": apart}], modiste_best=[0])
    add(page, "ModistePromptSearch")
    found = {
        "strategy": EVIL,
        "prompt": EVIL,
        "similarity": 0.7,
        "baseline": 0.5,
        "interval": [0, 1],
        "improved": False,
    }
    execute(page, modiste_search=[found])
    add(page, "ModisteLoraTrainer")
    send(page, "modiste.training", event(1, node="4", run=EVIL, message=EVIL, sample="javascript:document.title='ran'"))
    send(page, "modiste.lora_ready", {"node": "4", "run": EVIL, "file": EVIL, "reason": EVIL})
    add(page, "ModisteCompare")
    row = {"strength": EVIL, "similarity": 0.5, "gain": 0, "interval": [0, 0]}
    execute(page, modiste_compare=[{"rows": [row], "verdict": EVIL}])
    page.run("app.extensions[0].bottomPanelTabs[0].render(document.getElementById('panel'))")
    page.until("document.querySelector('.modiste-runs tbody th')")
    page.run(
        "node.imgs = [{ src: location.origin + '/view?filename=' + encodeURIComponent(" + json.dumps(EVIL) + ") }]"
    )
    page.run("app.menuOf(node).at(-1).callback()")
    page.until("document.querySelector('dialog[open]')")
    assert page.run("document.body.textContent").count(EVIL) >= 18
    assert page.run("document.querySelectorAll('main img, dialog img, main script, #panel img').length") == 0
    assert page.run("document.querySelectorAll('[onerror], [href^=javascript], [src^=javascript]').length") == 0
    page.press("Escape")


# ── looks ──


@pytest.mark.parametrize("theme", ["", "light"])
def test_text_stands_out_from_its_ground_in_dark_and_light(page, theme):
    page.run(f"document.body.className = '{theme}'")
    add(page, "ModisteTagger")
    page.run("node.widgets.find(({ name }) => name === 'pin').value = 'colour:red'")
    execute(page, modiste_tags=[{"image": 0, "tags": TAGS, "caption": "a red dress"}])
    light = page.run(
        """(() => {
          const paint = document.createElement('canvas').getContext('2d', { willReadFrequently: true })
          const luminance = (...colours) => {
            for (const colour of colours) { paint.fillStyle = colour; paint.fillRect(0, 0, 1, 1) }
            const [r, g, b] = [...paint.getImageData(0, 0, 1, 1).data].map((v) => v / 255)
              .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
            return 0.2126 * r + 0.7152 * g + 0.0722 * b
          }
          const ground = getComputedStyle(document.querySelector('.modiste-content')).backgroundColor
          return [...document.querySelectorAll('.modiste-chip-text, .modiste-caption')].map((each) => {
            const chip = each.closest('.modiste-chip')
            const behind = chip ? [ground, getComputedStyle(chip).backgroundColor] : [ground]
            return [luminance(getComputedStyle(each).color), luminance(...behind)]
          })
        })()"""
    )
    assert len(light) == 4
    for text, ground in light:
        assert (max(text, ground) + 0.05) / (min(text, ground) + 0.05) >= 4.5


def test_the_page_speaks_the_language_that_comfyui_speaks(page, server):
    page.run("app.extensionManager.setting.set('Comfy.Locale', 'zh-TW')")
    page.reload("window.ready")
    add(page, "ModisteTagger")
    execute(page, modiste_tags=[{"image": 0, "tags": TAGS, "caption": ""}])
    assert texts(page, ".modiste-group-name") == ["類別", "顏色", "領型"]
    assert texts(page, ".modiste-chip") == ["dress97", "紅色91", "V領42"], "a label without a name in Chinese stays"
    assert "V領 (V-neck)" in page.run("document.querySelector('[data-key=\"neckline:v_neck\"]').title"), (
        "the prompt's word"
    )
    assert "釘選" in texts(page, ".modiste-tags .modiste-hint")[0]
    page.click(chip("colour:red"))
    assert values(page)["pin"] == "colour:red"
    add(page, "ModisteScorer")
    execute(page, modiste_scores=scores(0.25), modiste_best=[0])
    assert texts(page, ".modiste-differences li") == ["領型V領→crew neck"]


def test_every_script_loads_alone_as_comfyui_loads_it(page, server):
    web = Path(__file__).parents[2] / "web"
    for file in web.rglob("*.js"):
        source = file.read_text(encoding="utf-8")
        assert "innerHTML" not in source and "insertAdjacentHTML" not in source and "eval(" not in source, file
        page.run(f"import('/extensions/modiste/{file.relative_to(web).as_posix()}').then(() => true)")
    assert page.run("app.extensions.length") == 1
