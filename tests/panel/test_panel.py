"""The tab in A1111 and Forge: forms become commands, a process is watched and stopped, what it leaves is shown."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import sys
import time
import typing
from pathlib import Path

import brand_studio
import pytest
import stand_in_gradio
from train_samples import tiny_base

from modiste.fashion.photos import garment_of
from modiste.hosts.lora_folder import give_to_host
from modiste.panel import both_page, commands, environment, page, setup_page
from modiste.panel import form as form_parts
from modiste.panel.commands import BadForm, finetune_command, photos_of, pipeline_command, prompt_command, tag_command
from modiste.panel.current_job import CurrentJob, status_of, watch
from modiste.panel.job import CommandProcess
from modiste.panel.results import drawing_of, gallery, infotexts, prompt_tag, read_report, result_rows, tag_rows
from modiste.panel.texts import LANGUAGES, WORDS, Words, language_of
from modiste.panel.webui_settings import WebuiSettings
from modiste.reports.comparison_texts import VERDICT
from modiste.search.route_decision import RouteOutcome

ROOT = Path(__file__).parents[2]
EN = Words("en")


# ── the room ──


# Modules that import nothing beyond the standard library themselves.
INNER = ("install", "hosts.lora_folder", "core.state_files")


def test_the_page_needs_the_standard_library_and_gradio_alone():
    allowed = set(sys.stdlib_module_names) | {"gradio"}
    for file in (ROOT / "panel").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert {alias.name.partition(".")[0] for alias in node.names} <= allowed, file
            elif isinstance(node, ast.ImportFrom):
                inside = node.level == 1 or (node.level == 2 and node.module in INNER)
                assert inside or (not node.level and node.module.partition(".")[0] in allowed), f"{file}:{node.lineno}"


def test_the_lists_of_the_page_are_those_of_the_rooms_it_can_not_import():
    from modiste.fashion.prompts.strategies import DEFAULT_STRATEGIES
    from modiste.models.presets import PRESETS

    assert commands.STRATEGIES == DEFAULT_STRATEGIES and set(commands.PRESETS) == set(PRESETS)


def test_every_word_is_there_in_both_languages_with_the_same_fields():
    fields = lambda text: sorted(part.partition("}")[0].partition(":")[0] for part in text.split("{")[1:])  # noqa: E731
    for key, (english, chinese) in WORDS.items():
        assert english and chinese and fields(english) == fields(chinese), key
        assert key in ("rank",) or any("\u4e00" <= char <= "\u9fff" for char in chinese), key
    for decision in RouteOutcome:
        assert WORDS[f"v_{decision.value}"] == VERDICT[f"d_{decision.value}"]
    assert Words("zh-TW")("start") == "開始" and Words("fr")("start") == "Start" and LANGUAGES == ("en", "zh-TW")


@pytest.mark.parametrize(
    ("names", "language"),
    [
        (("zh_TW", None), "zh-TW"),
        (("zh-Hant (Stable)",), "zh-TW"),
        (("None", "zh_TW.UTF-8"), "zh-TW"),
        (("繁體中文 (zh-TW)",), "zh-TW"),
        (("zh_CN",), "en"),
        (("None", None), "en"),
        (("ja_JP", "zh_TW"), "en"),
    ],
)
def test_the_language_is_the_webuis_or_the_machines(names, language):
    assert language_of(*names) == language


# ── forms → commands ──


def options_of(command: list[str]) -> dict[str, str]:
    places = [place for place, word in enumerate(command) if word.startswith("--")]
    return {command[place]: (command[place + 1 : place + 2] or [""])[0] for place in places}


def parsed(command: list[str]) -> dict:
    """What harness.py understands of a command; an unknown option is an error."""
    import typer

    from modiste.cli.app import app

    group = typer.main.get_command(app)
    name = command[1]
    context = group.commands[name].make_context(name, command[2:])
    return context.params


class Upload(str):
    """A file as gradio hands it over: a text with a name (4.x), or an object with one (3.x)."""

    @property
    def name(self) -> str:
        return str(self)


def test_a_filled_form_is_a_command_that_harness_py_takes(tmp_path):
    photo = tmp_path / "a look.png"
    photo.write_bytes(b"x")
    photos = photos_of([Upload(photo)], "", True)
    taken = parsed(tag_command(photos, "mini"))
    assert taken["photos"] == [photo] and taken["preset"] == "mini" and taken["json"]
    command, out = prompt_command(photos, "sd15", "webui", "http://127.0.0.1:7861", ["sentence"], 24, tmp_path / "runs")
    taken = parsed(command)
    assert (taken["host"], taken["url"], taken["budget"]) == ("webui", ["http://127.0.0.1:7861"], 24)
    assert taken["strategies"] == "sentence" and taken["out"] == out and out.parent == tmp_path / "runs"
    command, out = finetune_command(photos, "mini", "m.safetensors", "vesper", 300, 8, tmp_path / "runs")
    taken = parsed(command)
    assert (taken["steps"], taken["rank"], taken["trigger"], taken["checkpoint"]) == (300, 8, "vesper", "m.safetensors")
    assert [file.name for file in taken["photos"][0].iterdir()] == ["a look.png"]
    form = "http://127.0.0.1:7861", tmp_path / "Lora", "vesper", 16
    command, out = pipeline_command(photos, "sd15", "webui", *form, True, tmp_path / "runs")
    taken = parsed(command)
    assert (taken["host"], taken["url"], taken["lora_dir"]) == ("webui", ["http://127.0.0.1:7861"], tmp_path / "Lora")
    assert (taken["trigger"], taken["budget"], taken["with_generated"], taken["out"]) == ("vesper", 16, True, out)
    assert [file.name for file in taken["photos"][0].iterdir()] == ["a look.png"]
    in_shape, elsewhere = pipeline_command(photos, "sd15", "webui", *form, True, tmp_path / "runs", True)
    assert parsed(in_shape)["aspect"] == "photo" and parsed(command)["aspect"] is None and elsewhere != out
    taken = parsed(pipeline_command([tmp_path], "mini", "local", *form, False, tmp_path / "runs")[0])
    assert taken["photos"] == [tmp_path] and taken["host"] == "local" and not taken["with_generated"]


def test_uploads_keep_the_names_that_say_which_photos_show_one_garment(tmp_path):
    files = [
        tmp_path / place / name for place, name in (("a", "K1-front.png"), ("b", "K1-back.png"), ("c", "k1-BACK.png"))
    ]
    for file in files:
        file.parent.mkdir()
        file.write_bytes(file.name.encode())
    command, _ = pipeline_command(files, "mini", "local", "", tmp_path, "", 16, False, tmp_path / "runs")
    copies = sorted(parsed(command)["photos"][0].iterdir())
    assert [copy.name for copy in copies] == ["0002-k1-BACK.png", "K1-back.png", "K1-front.png"]
    assert {copy.read_bytes() for copy in copies} == {file.read_bytes() for file in files}
    assert garment_of(copies[1]) == garment_of(copies[2])


def test_the_same_form_goes_on_with_the_same_run_and_another_form_is_another_run(tmp_path):
    first, again, other = (tmp_path / name for name in ("1.png", "2.png", "3.png"))
    for file, content in ((first, b"a"), (again, b"a"), (other, b"b")):
        file.write_bytes(content)
    runs = [prompt_command([file], "mini", "local", "", [], 24, tmp_path)[1] for file in (first, again, other)]
    assert runs[0] == runs[1] != runs[2]
    assert prompt_command([first], "mini", "local", "", [], 32, tmp_path)[1] != runs[0]


@pytest.mark.parametrize(
    ("form", "field"),
    [
        (lambda out: photos_of(None, "", True), "photos"),
        (lambda out: photos_of([], "/no/such/folder", True), "folder"),
        (lambda out: photos_of([], "/", False), "photos"),
        (lambda out: prompt_command([], "huge", "local", "", [], 24, out), "preset"),
        (lambda out: prompt_command([], "mini", "local", "", ["--out"], 24, out), "strategies"),
        (lambda out: prompt_command([], "mini", "nobody", "", [], 24, out), "strategies"),
        (lambda out: prompt_command([], "mini", "local", "", [], 10**6, out), "budget"),
        (lambda out: finetune_command([], "mini", None, "two words", 100, 8, out), "trigger"),
        (lambda out: finetune_command([], "mini", None, "--json", 10**6, 8, out), "steps"),
        (lambda out: finetune_command([], "mini", None, "", 100, 0, out), "rank"),
        (lambda out: pipeline_command([], "mini", "local", "", out, "two words", 16, False, out), "trigger"),
        (lambda out: pipeline_command([], "mini", "nobody", "", out, "", 16, False, out), "drawer"),
        (lambda out: pipeline_command([], "mini", "local", "", out, "", 4, False, out), "budget"),
    ],
)
def test_what_a_page_could_send_and_should_not_is_refused_by_its_field(form, field, tmp_path):
    with pytest.raises(BadForm) as caught:
        form(tmp_path)
    assert caught.value.field == field and caught.value.why in WORDS


# ── a process ──

TALKS = """
import json, sys
for done in range(1, 4):
    print(json.dumps({"progress": {"stage": "prompt", "done": done, "total": 3, "message": "<b>", "eta_s": 90.0,
                                   "picture": f"/p/{done}.png" if done > 1 else None}}), file=sys.stderr, flush=True)
print("a word for people", file=sys.stderr)
print(json.dumps({"images": []}, indent=2))
sys.exit(3)
"""
WAITS = """
import sys, threading
try:
    print("ready", file=sys.stderr, flush=True)
    threading.Event().wait(60)
except KeyboardInterrupt:
    print("interrupted: what is done is kept", file=sys.stderr)
    sys.exit(130)
"""


def job_of(code: str, folder: Path) -> CommandProcess:
    return CommandProcess([sys.executable, "-c", code], folder, os.environ)


def until(job: CommandProcess, holds) -> None:
    deadline = time.monotonic() + 30
    while not holds() and time.monotonic() < deadline:
        job.wait(1)
    assert holds()


def test_progress_pictures_words_and_document_of_a_process_are_heard(tmp_path):
    job = job_of(TALKS, tmp_path)
    *_, last = watch(job)
    assert last is job and not job.running and job.finished and job.exit_code == 3
    assert list(job.pictures) == ["/p/2.png", "/p/3.png"] and job.log_tail == "a word for people"
    assert job.document == {"images": []} and job.progress["done"] == 3
    assert status_of(job, EN) == "<div>Done.</div>"


def test_a_running_job_is_a_bar_with_what_is_left_and_nothing_of_it_is_markup(tmp_path):
    job = job_of(WAITS, tmp_path)
    try:
        until(job, lambda: job.log_tail)
        assert "Starting" in status_of(job, EN)
        job._read_line(
            json.dumps({"progress": {"stage": "prompt", "done": 1, "total": 4, "eta_s": 90, "message": "<b>"}})
        )
        shown = status_of(job, EN)
        assert 'value="1" max="4"' in shown and "about 2 min left" in shown and "&lt;b&gt;" in shown
        assert "繪圖與比較" in status_of(job, Words("zh-TW"))
    finally:
        job.cancel()
        until(job, lambda: not job.running)


def test_a_cancelled_job_keeps_what_it_has_and_one_that_hangs_is_ended(tmp_path):
    job = job_of(WAITS, tmp_path)
    until(job, lambda: job.log_tail)
    job.cancel()
    until(job, lambda: not job.running)
    assert job.resumable and job.exit_code == 130 and "goes on" in status_of(job, EN)
    deaf = job_of("import signal; signal.signal(signal.SIGINT, signal.SIG_IGN);" + WAITS, tmp_path)
    until(deaf, lambda: deaf.log_tail)
    deaf.cancel()
    assert deaf.running and "Stopping" in status_of(deaf, EN)
    deaf.cancel()
    until(deaf, lambda: not deaf.running)
    assert deaf.exit_code == -signal.SIGKILL


def test_a_failure_is_shown_with_the_process_last_words(tmp_path):
    job = job_of("import sys; print('error: <no> weights', file=sys.stderr); sys.exit(2)", tmp_path)
    *_, job = watch(job)
    assert "exit code 2" in status_of(job, EN) and "error: &lt;no&gt; weights" in status_of(job, EN)
    assert job.document is None


def test_one_job_runs_at_a_time(tmp_path):
    current_job = CurrentJob()
    job = current_job.begin([sys.executable, "-c", WAITS], tmp_path, os.environ)
    until(job, lambda: job.log_tail)
    with pytest.raises(BadForm) as caught:
        current_job.begin([sys.executable, "-c", TALKS], tmp_path, os.environ)
    assert caught.value.why == "busy"
    current_job.cancel()
    until(job, lambda: not job.running)
    *_, job = watch(current_job.begin([sys.executable, "-c", TALKS], tmp_path, os.environ))
    assert job.finished


def test_the_real_command_tells_its_progress_to_a_program_that_asks(tmp_path):
    photo = ROOT / "examples" / "photos" / "look-01.jpg"
    job = CommandProcess(
        [sys.executable, *tag_command([photo], "mini")], tmp_path, os.environ | {"OMP_NUM_THREADS": "1"}
    )
    *_, job = watch(job)
    assert job.finished and job.progress["stage"] == "tag" and job.progress["done"] == 1, job.log_tail
    assert tag_rows(job.document)[0][:2] == ["look-01.jpg", "category"]


# ── what a run leaves ──


@pytest.fixture(scope="module")
def finished_run(paper_run) -> tuple[dict, Path]:
    return read_report(paper_run), paper_run


def test_a_report_becomes_tables_pictures_and_texts_to_send(finished_run):
    report, out = finished_run
    rows = result_rows(report)
    assert len(rows) == len(report["images"]) and all(0 <= row[2] <= 100 for row in rows)
    assert {row[0] for row in tag_rows(report["images"])} <= {row[0] for row in rows}
    shown = gallery(report, out)
    assert len(shown) == 2 * len(rows) and all(Path(file).is_file() for file, _ in shown)
    for text in infotexts(report, drawing_of(report)).values():
        assert "\nSteps: " in text and "CFG scale: " in text and "Size: 64x64" in text
    assert read_report(out / "nowhere") is None


def test_a_text_to_send_is_read_by_the_webui_as_it_is_meant():
    """A1111's own rule: the last line is settings, `Negative prompt:` begins the negative prompt."""
    photo = {"image": "a/look.png", "optimized_prompt": "a red dress", "negative_prompt": "blurry"}
    text = infotexts({"images": [photo]}, {"Steps": 16, "Sampler": "DPM++ 2M"})["look.png"]
    assert text == "a red dress\nNegative prompt: blurry\nSteps: 16, Sampler: DPM++ 2M"


def test_a_trained_file_gets_a_name_of_its_content_and_is_there_whole(tmp_path):
    trained, folder = tmp_path / "fashion_lora_weights.safetensors", tmp_path / "Lora"
    trained.write_bytes(b"first")
    first = give_to_host(trained, folder, "my: brand/../x")
    assert first.parent == folder and first.read_bytes() == b"first" and ":" not in first.name
    assert give_to_host(trained, folder, "my: brand/../x") == first
    trained.write_bytes(b"better")
    assert give_to_host(trained, folder, "my: brand/../x") != first and first.read_bytes() == b"first"
    assert sorted(folder.iterdir()) == sorted(folder.glob("*.safetensors"))
    assert prompt_tag(Path("brand-0a1b.safetensors"), "vesper") == "<lora:brand-0a1b:0.8>, vesper"


# ── the tab ──


@pytest.fixture
def tab(tmp_path, monkeypatch):
    """The page under a gradio that has what 3.41 and 4.40 share, in an environment that is there."""
    monkeypatch.setitem(sys.modules, "gradio", stand_in_gradio)
    monkeypatch.setattr(environment, "is_installed", lambda: True)
    monkeypatch.setattr(environment, "environment_python", lambda: Path(sys.executable))
    monkeypatch.setattr(form_parts, "own_environ", lambda: os.environ | {"OMP_NUM_THREADS": "1"})
    sent: list = []
    refreshed: list = []
    webui = WebuiSettings(
        "http://127.0.0.1:7860",
        has_api=False,
        runs=tmp_path / "runs",
        lora_folder=tmp_path / "Lora",
        connect_send=lambda button, text: sent.append(text.label),
        refresh_loras=lambda: refreshed.append(True),
    )
    return Tab(page.build(webui), sent, refreshed, webui)


class Tab(typing.NamedTuple):
    page: stand_in_gradio.Component
    sent: list
    refreshed: list
    webui: WebuiSettings

    def buttons(self, label: str) -> list:
        found = [one for one in self.page.everything() if type(one).__name__ == "Button" and one.label == label]
        return [one.handlers.get("click", (None,))[0] for one in found]

    def press(self, label: str, *fields, place: int = 0) -> tuple:
        """The last thing that a button's handler shows."""
        *_, last = self.buttons(label)[place](*fields)
        return last


def test_the_tab_holds_its_pages_and_sends_prompt_and_lora_to_txt2img(tab):
    labels = [one.label for one in tab.page.everything()]
    assert {"Prompt", "Training", "Both routes", "Set-up", "Verdict", "Photos of garments", "Rank", "Set up"} <= set(
        labels
    )
    assert tab.sent == ["Best prompt", "For your prompt", "For your prompt"]


def test_forms_that_can_not_be_used_start_nothing_and_say_why(tab, monkeypatch):
    assert "Choose photos first" in tab.press("Read the tags", None, "", "mini")[0]
    form = [Upload(ROOT / "examples" / "photos" / "look-01.jpg")], "", "mini"
    assert "--api" in tab.press("Start", *form, "this WebUI", [], 12)[0]
    assert "--api" in tab.press("Start", *form, "this WebUI", "vesper", 16, False, False, place=2)[0]
    assert "one word" in tab.press("Start", *form, "Modiste's own model", "two words", 16, False, False, place=2)[0]
    assert "Tick the box" in tab.press("Set up", False)[0]
    monkeypatch.setattr(environment, "fits", lambda: False)
    assert "too full" in tab.press("Set up", True)[0]
    monkeypatch.setattr(environment, "is_installed", lambda: False)
    assert "Set up the environment first" in tab.press("Start", *form, "Modiste's own model", [], 12)[0]
    assert "Set up the environment first" in tab.press("Check the environment")[0]


@pytest.fixture(scope="module")
def finished_pipeline(tmp_path_factory) -> Path:
    """The folder of a run of both routes on a brand of paper."""
    folder = tmp_path_factory.mktemp("brand")
    tiny_base(folder / "base")
    brand_studio.run(brand_studio.brand_photos(folder / "photos"), folder / "base", folder / "out")
    return folder / "out"


@pytest.mark.parametrize("paid", [True, False])
def test_both_routes_become_a_verdict_pictures_and_a_lora_in_the_tab(paid, tab, finished_pipeline, monkeypatch):
    report = finished_pipeline / "report.json"
    decision = "training" if paid else "no difference"
    tells = (
        f"import json; story = json.load(open({str(report)!r}, encoding='utf-8')); "
        f"story['verdict']['decision'] = {decision!r}; print(json.dumps(story))"
    )
    monkeypatch.setattr(both_page, "pipeline_command", lambda *form: (["-c", tells], finished_pipeline))
    photos = [Upload(ROOT / "examples" / "photos" / "look-01.jpg")]
    form = photos, "", "sd15", "Modiste's own model", "atelierx", 16, True, False
    status, verdict, pictures, tag, ways, shown = tab.press("Start", *form, place=2)
    assert "Done" in status and re.match(r"(Training paid|No difference): \+\d", verdict), status
    assert len(pictures) == 3 * 7 and all(Path(file).is_file() for file, _ in pictures)
    assert [row[0] for row in ways][:2] == ["base, name only", "base, best words"] and len(ways) == 5
    assert all(0 <= value <= 100 for row in ways for value in row[1:])
    assert Path(shown) == finished_pipeline / "report.html"
    placed = list((tab.webui.runs.parent / "Lora").glob("*.safetensors"))
    if paid:
        assert re.fullmatch(rf"<lora:{placed[0].stem}:[\d.]+>, atelierx", tag) and tab.refreshed
    else:
        assert tag == "" and not placed and not tab.refreshed


def test_set_up_names_its_size_before_anything_is_agreed_to(tmp_path, monkeypatch):
    monkeypatch.setenv("MODISTE_VENV", str(tmp_path / "nowhere"))
    for language in LANGUAGES:
        said = setup_page.setup_text(Words(language))
        assert "1.5 GB" in said and "7 GB" in said and str(tmp_path / "nowhere") in said
    assert environment.setup_command()[1:] == [str(ROOT / "install.py"), "setup"]


@pytest.mark.slow
def test_a_photo_becomes_a_best_prompt_in_the_tab(tab):
    photo = [Upload(ROOT / "examples" / "photos" / "look-01.jpg")]
    form = photo, "", "mini", "Modiste's own model", ["minimal", "all_tags"], 8
    status, pictures, tags, results, texts, best_of, report = tab.press("Start", *form)
    assert "Done" in status and len(pictures) == 2 and results[0][0] == "look-01.jpg" and len(tags) > 3
    assert "\nSteps: 16" in texts["look-01.jpg"] and best_of["value"] == "look-01.jpg"
    assert Path(report).name == "report.html" and Path(report).is_file()
